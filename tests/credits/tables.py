"""Helpers that open accounts, read the tables of the ledger and compare them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, models

from credits import ledger
from credits.models import Account, Entry, Hold
from tests.helpers.database_guards import execute

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


def drop_triggers() -> None:
    execute(*APPEND_ONLY.drop_sql(connection.vendor))


def create_triggers() -> None:
    execute(*APPEND_ONLY.create_sql(connection.vendor))
