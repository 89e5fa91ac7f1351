"""A look at the books, and the tools to damage them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, models

from credits import accounts, ledger
from credits.models import Account, Entry, Hold

_append_only = importlib.import_module("credits.migrations.0001_initial").ENTRIES_ARE_APPEND_ONLY


def open_account(username: str, credits: int = 0) -> Account:
    account = accounts.of(User.objects.create(username=username))
    if credits:
        ledger.grant(account, credits, key=f"first:{username}", actor="test")
    return account


def money(account: Account) -> tuple[int, int]:
    """Balance and held, as the database has them."""
    return Account.objects.values_list("balance", "held").get(pk=account.pk)


def statement(account: Account) -> list[tuple[str, int, int]]:
    return list(account.entries.newest_first().values_list("kind", "balance_change", "held_change"))


def everything() -> list[list[Any]]:
    tables: list[type[models.Model]] = [Account, Hold, Entry]
    return [list(table._default_manager.order_by("pk").values_list()) for table in tables]


@contextmanager
def assert_refused(error: type[Exception] | tuple[type[Exception], ...], match: str | None = None) -> Iterator[None]:
    """What happens inside is refused with `error`, and leaves nothing behind."""
    before = everything()
    with pytest.raises(error, match=match):
        yield
    assert everything() == before


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def remove_the_triggers() -> None:
    run(*_append_only.drop_sql(connection.vendor))


def put_the_triggers_back() -> None:
    run(*_append_only.create_sql(connection.vendor))


@contextmanager
def closed(table: type[models.Model]) -> Iterator[None]:
    """A table that takes no more rows: whatever goes wrong in the middle of a verb, it goes wrong here."""
    name = table._meta.db_table
    if connection.vendor == "postgresql":
        run(f"ALTER TABLE {name} ADD CONSTRAINT closed CHECK (false) NOT VALID")
    else:
        run(f"CREATE TRIGGER closed BEFORE INSERT ON {name} BEGIN SELECT RAISE(ABORT, 'closed'); END")
    try:
        yield
    finally:
        run(
            f"ALTER TABLE {name} DROP CONSTRAINT closed" if connection.vendor == "postgresql" else "DROP TRIGGER closed"
        )


@contextmanager
def without_constraint(model: type[models.Model], name: str) -> Iterator[None]:
    """The tables without one of their guards. They are empty afterwards: what is in them may break it."""
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
    """The same, for a field that is unique by itself."""
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
