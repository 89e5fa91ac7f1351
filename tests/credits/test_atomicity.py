"""An operation of the ledger is written completely or not at all. Case D5 of docs/failure-modes.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError, transaction

from credits import ledger
from credits.ledger import LedgerError
from credits.models import Account, Entry, Hold
from tests.credits.tables import BY_STAFF, assert_refused, balance_and_held
from tests.helpers.database_guards import rejecting_inserts

OPERATIONS: dict[str, Callable[[Account], object]] = {
    "hold": lambda alice: ledger.hold(alice, 5, reference="new"),
    "capture": lambda alice: ledger.capture("open"),
    "release": lambda alice: ledger.release("open"),
    "grant": lambda alice: ledger.grant(alice, 5, key="new", actor="staff"),
    "adjust": lambda alice: ledger.adjust(alice, -5, key="new", **BY_STAFF),
    "refund": lambda alice: ledger.refund("captured", 5, key="new", **BY_STAFF),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_is_written_without_the_entry(alice: Account, operation: str) -> None:
    ledger.hold(alice, 30, reference="open")
    ledger.hold(alice, 30, reference="captured")
    ledger.capture("captured")

    with assert_refused((LedgerError, DatabaseError)), rejecting_inserts(Entry):
        OPERATIONS[operation](alice)


@pytest.mark.django_db(transaction=True)
def test_no_credits_are_held_without_the_hold(alice: Account) -> None:
    with assert_refused((LedgerError, DatabaseError)), rejecting_inserts(Hold):
        ledger.hold(alice, 5, reference="new")


def test_an_operation_is_rolled_back_with_its_callers_transaction(alice: Account) -> None:
    with assert_refused(ZeroDivisionError), transaction.atomic():
        ledger.hold(alice, 30, reference="fox")
        ledger.capture("fox")
        1 / 0  # noqa: B018


def test_a_refusal_leaves_the_callers_transaction_usable(alice: Account) -> None:
    with transaction.atomic():
        ledger.hold(alice, 30, reference="fox")
        with pytest.raises(ledger.HoldExists):
            ledger.hold(alice, 30, reference="fox")
        ledger.capture("fox")

    assert balance_and_held(alice) == (70, 0)
