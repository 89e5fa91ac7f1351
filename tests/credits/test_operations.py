"""What each operation of the ledger does, and that repeating it changes nothing. Cases of section D of
docs/failure-modes.md."""

from __future__ import annotations

from fractions import Fraction

import pytest
from django.contrib.auth.models import User
from django.db.models import ProtectedError
from hypothesis import given, settings
from hypothesis import strategies as st

from credits import ledger
from credits.audit import audit
from credits.models import CREDITS_MAX, Account, Entry
from tests.credits.tables import BY_STAFF, assert_refused, balance_and_held, open_account, statement


def test_an_account_is_opened_when_it_is_first_needed(db: None) -> None:
    user = User.objects.create(username="carol")

    opened = Account.objects.for_user(user)

    assert Account.objects.for_user(user) == opened
    assert (str(opened), balance_and_held(opened), opened.available) == ("carol", (0, 0), 0)


# --- Holds ---


def test_a_hold_reserves_credits(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    alice.refresh_from_db()
    hold = alice.holds.get()
    assert (alice.balance, alice.held, alice.available) == (100, 30, 70)
    assert (str(hold), hold.amount, hold.settled_at) == ("fox", 30, None)


def test_a_hold_of_the_whole_balance_leaves_nothing_available(alice: Account) -> None:
    ledger.hold(alice, 100, reference="all")

    with assert_refused(ledger.InsufficientCredits, match="costs 1 credits and 0 are available"):
        ledger.hold(alice, 1, reference="more")


def test_a_capture_charges_the_hold(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    settled = ledger.capture("fox")

    assert balance_and_held(alice) == (70, 0)
    assert (settled.captured, settled.released, settled.settled_at is None) == (30, 0, False)


def test_a_release_gives_the_hold_back(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    settled = ledger.release("fox")

    assert balance_and_held(alice) == (100, 0)
    assert (settled.captured, settled.released) == (0, 30)


def test_capturing_nothing_of_a_hold_releases_it(alice: Account) -> None:
    for amount in (1, 30):
        ledger.hold(alice, amount, reference=f"order:{amount}")

        ledger.capture(f"order:{amount}", 0)

        assert statement(alice)[0] == ("release", 0, -amount)


def test_d11_an_order_that_costs_nothing_is_held_and_settled(alice: Account) -> None:
    for settle, kind in ((ledger.capture, "capture"), (ledger.release, "release")):
        ledger.hold(alice, 0, reference=kind)

        settle(kind)

        assert statement(alice)[:2] == [(kind, 0, 0), ("hold", 0, 0)]
    assert balance_and_held(alice) == (100, 0)


def test_an_operation_on_one_hold_leaves_the_others_alone(alice: Account) -> None:
    for reference in ("fox", "owl", "elk"):
        ledger.hold(alice, 30, reference=reference)
    ledger.capture("elk")

    ledger.capture("fox")
    ledger.refund("fox", 5, key="sorry", **BY_STAFF)

    others = alice.holds.exclude(reference="fox").values_list("reference", "captured", "refunded")
    assert sorted(others) == [("elk", 30, 0), ("owl", 0, 0)]
    assert audit().clean


@pytest.mark.django_db
@settings(deadline=None)
@given(amount=st.integers(0, CREDITS_MAX), part=st.fractions(0, 1))
def test_d10_captured_and_released_credits_add_up_to_the_hold(amount: int, part: Fraction) -> None:
    """A part of the result costs a part of the price, rounded in the customer's favour."""
    account = Account.objects.first() or open_account("alice", credits=CREDITS_MAX)
    missing = CREDITS_MAX - balance_and_held(account)[0]
    ledger.adjust(account, missing or 1, key=f"fill:{Entry.objects.count()}", **BY_STAFF)
    reference = f"job:{Entry.objects.count()}"
    ledger.hold(account, amount, reference=reference)

    settled = ledger.capture(reference, int(amount * part))

    assert settled.captured + settled.released == amount
    assert settled.captured <= amount * part
    assert audit().clean


# --- Grants, adjustments and refunds ---


def test_a_grant_comes_from_the_treasury(bob: Account) -> None:
    entry = ledger.grant(bob, 50, key="gift", actor="staff", reason="welcome")

    assert balance_and_held(bob) == (50, 0)
    assert (entry.counter_side, entry.actor, entry.reason) == ("treasury", "staff", "welcome")
    assert str(entry) == "grant +50/+0"


def test_d16_an_adjustment_changes_only_credits_that_are_not_held(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    for change, balance in ((+20, 120), (-20, 100), (-70, 30)):
        ledger.adjust(alice, change, key=f"fix:{change}", **BY_STAFF)

        assert balance_and_held(alice) == (balance, 30)


def test_d3_a_refund_gives_captured_credits_back(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox", 20)

    entry = ledger.refund("fox", 5, key="sorry", **BY_STAFF)

    assert balance_and_held(alice) == (85, 0)
    assert (entry.kind, entry.counter_side, entry.actor, entry.reason) == ("refund", "revenue", "staff", "a mistake")


# --- Idempotency keys ---


def test_d8_repeating_a_key_changes_nothing(alice: Account) -> None:
    """A double click, a reloaded form, a command that is run twice."""
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox")

    for post in (
        lambda: ledger.grant(alice, 10, key="grant", actor="staff"),
        lambda: ledger.adjust(alice, -10, key="adjust", **BY_STAFF),
        lambda: ledger.refund("fox", 30, key="refund", **BY_STAFF),
    ):
        first, after = post(), balance_and_held(alice)

        assert post() == first
        assert balance_and_held(alice) == after


def test_a_key_identifies_one_posting(alice: Account, bob: Account) -> None:
    """With another account, amount or operation, the second posting would otherwise be lost without an error."""
    ledger.grant(alice, 10, key="gift", actor="staff")

    for post in (
        lambda: ledger.grant(bob, 10, key="gift", actor="staff"),
        lambda: ledger.grant(alice, 11, key="gift", actor="staff"),
        lambda: ledger.adjust(alice, 10, key="gift", **BY_STAFF),
    ):
        with assert_refused(ledger.KeyTaken):
            post()


# --- Reading ---


def test_d17_the_statement_lists_the_newest_entry_first(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox", 20)
    ledger.refund("fox", 5, key="sorry", **BY_STAFF)
    ledger.adjust(alice, -5, key="fix", **BY_STAFF)

    assert statement(alice) == [
        ("adjust", -5, 0),
        ("refund", 5, 0),
        ("capture", -20, -30),
        ("hold", 0, 30),
        ("grant", 100, 0),
    ]


def test_d12_a_user_with_ledger_entries_cannot_be_deleted(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    for row in (alice.user, alice, alice.holds.get()):
        with assert_refused(ProtectedError):
            row.delete()
