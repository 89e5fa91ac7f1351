"""Helpers that read, compare and damage the tables of the ledger."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, models

from credits import ledger
from credits.models import Account, Entry, Hold

APPEND_ONLY = importlib.import_module("credits.migrations.0001_initial").ENTRIES_ARE_APPEND_ONLY
# The arguments of a posting that a person makes.
BY_STAFF = {"actor": "staff", "reason": "a mistake"}


def open_account(username: str, credits: int = 0) -> Account:
    """Create a user whose account was granted `credits`."""
    account = Account.objects.for_user(User.objects.create(username=username))
    if credits:
        ledger.grant(account, credits, key=f"first:{username}", actor="test")
    return account


def balance_and_held(account: Account) -> tuple[int, int]:
    """Read both columns from the database."""
    return Account.objects.values_list("balance", "held").get(pk=account.pk)


def statement(account: Account) -> list[tuple[str, int, int]]:
    """Kind, change of the balance and change of the held credits of each entry, the newest first."""
    return list(account.entries.newest_first().values_list("kind", "balance_change", "held_change"))


def all_rows() -> list[list[Any]]:
    tables: list[type[models.Model]] = [Account, Hold, Entry]
    return [list(table._default_manager.order_by("pk").values_list()) for table in tables]


@contextmanager
def assert_refused(error: type[Exception] | tuple[type[Exception], ...], match: str | None = None) -> Iterator[None]:
    """Assert that the block raises `error` and changes no row of the ledger."""
    before = all_rows()
    with pytest.raises(error, match=match):
        yield
    assert all_rows() == before


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def drop_triggers() -> None:
    execute(*APPEND_ONLY.drop_sql(connection.vendor))


def create_triggers() -> None:
    execute(*APPEND_ONLY.create_sql(connection.vendor))


@contextmanager
def rejecting_inserts(table: type[models.Model]) -> Iterator[None]:
    """Make every INSERT into a table fail, as a stand-in for any failure in the middle of an operation."""
    name = table._meta.db_table
    if connection.vendor == "postgresql":
        add = f"ALTER TABLE {name} ADD CONSTRAINT closed CHECK (false) NOT VALID"
        remove = f"ALTER TABLE {name} DROP CONSTRAINT closed"
    else:
        add = f"CREATE TRIGGER closed BEFORE INSERT ON {name} BEGIN SELECT RAISE(ABORT, 'closed'); END"
        remove = "DROP TRIGGER closed"
    execute(add)
    try:
        yield
    finally:
        execute(remove)


@contextmanager
def without_constraint(model: type[models.Model], name: str) -> Iterator[None]:
    """Remove a constraint. All tables are emptied afterwards, because their rows may violate it."""
    constraint = next(constraint for constraint in model._meta.constraints if constraint.name == name)
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)
    try:
        yield
    finally:
        call_command("flush", interactive=False, verbosity=0)
        with connection.schema_editor() as editor:
            editor.add_constraint(model, constraint)


@contextmanager
def without_unique(model: type[models.Model], name: str) -> Iterator[None]:
    """The same for a text field with `unique=True`."""
    unique = model._meta.get_field(name)
    assert isinstance(unique, models.CharField)
    plain = models.CharField(max_length=unique.max_length, null=unique.null)
    plain.set_attributes_from_name(name)
    with connection.schema_editor() as editor:
        editor.alter_field(model, unique, plain)
    try:
        yield
    finally:
        call_command("flush", interactive=False, verbosity=0)
        with connection.schema_editor() as editor:
            editor.alter_field(model, plain, unique)
