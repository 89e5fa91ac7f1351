"""A verb of the ledger is written whole or not at all, whatever goes wrong in its middle. Case D5."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError

from credits import ledger
from credits.ledger import LedgerError
from credits.models import Account, Entry, Hold
from tests.credits.books import assert_refused, closed

pytestmark = pytest.mark.django_db(transaction=True)

BY_HAND = {"actor": "staff", "reason": "a mistake"}
Verb = Callable[[Account], object]

VERBS: dict[str, Verb] = {
    "hold": lambda alice: ledger.hold(alice, 5, reference="new"),
    "capture": lambda alice: ledger.capture("open"),
    "release": lambda alice: ledger.release("open"),
    "grant": lambda alice: ledger.grant(alice, 5, key="new", actor="staff"),
    "adjust": lambda alice: ledger.adjust(alice, -5, key="new", **BY_HAND),
    "refund": lambda alice: ledger.refund("captured", 5, key="new", **BY_HAND),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_without_its_entry_nothing_is_written(alice: Account, verb: Verb) -> None:
    ledger.hold(alice, 30, reference="open")
    ledger.hold(alice, 30, reference="captured")
    ledger.capture("captured")

    with assert_refused((LedgerError, DatabaseError)), closed(Entry):
        verb(alice)


def test_without_its_row_no_hold_sets_credits_aside(alice: Account) -> None:
    with assert_refused((LedgerError, DatabaseError)), closed(Hold):
        ledger.hold(alice, 5, reference="new")
