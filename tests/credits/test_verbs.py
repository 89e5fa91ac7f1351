"""What each verb of the ledger does, and that doing it twice does it once."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db.models import ProtectedError
from hypothesis import given, settings
from hypothesis import strategies as st

from credits import accounts, ledger
from credits.audit import audit
from credits.models import CREDITS_MAX, Account, Entry
from tests.credits.books import assert_refused, money, open_account, statement

BY_HAND = {"actor": "staff", "reason": "a mistake"}


def test_an_account_is_opened_at_first_sight(db) -> None:
    user = User.objects.create(username="carol")

    opened = accounts.of(user)

    assert accounts.of(user) == opened
    assert (str(opened), money(opened), opened.available) == ("carol", (0, 0), 0)


def test_a_hold_sets_credits_aside(alice: Account) -> None:
    held = ledger.hold(alice, 30, reference="fox")

    alice.refresh_from_db()
    assert (alice.balance, alice.held, alice.available) == (100, 30, 70)
    assert (str(held), held.amount, held.settled_at) == ("fox", 30, None)


def test_a_capture_takes_the_hold_for_good(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    settled = ledger.capture("fox")

    assert money(alice) == (70, 0)
    assert (settled.captured, settled.released, settled.settled_at is None) == (30, 0, False)


def test_a_release_gives_the_hold_back(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    settled = ledger.release("fox")

    assert money(alice) == (100, 0)
    assert (settled.captured, settled.released) == (0, 30)


@pytest.mark.parametrize("amount", [1, 30])
def test_capturing_nothing_of_a_hold_releases_it(alice: Account, amount: int) -> None:
    ledger.hold(alice, amount, reference="fox")

    ledger.capture("fox", 0)

    assert statement(alice)[0] == ("release", 0, -amount)


def test_what_happens_to_one_hold_happens_to_no_other(alice: Account) -> None:
    for reference in ("fox", "owl", "elk"):
        ledger.hold(alice, 30, reference=reference)
    ledger.capture("elk")

    ledger.capture("fox")
    ledger.refund("fox", 5, key="sorry", **BY_HAND)

    others = alice.holds.exclude(reference="fox").values_list("reference", "captured", "refunded")
    assert sorted(others) == [("elk", 30, 0), ("owl", 0, 0)]
    assert audit().clean


@pytest.mark.parametrize("settle, kind", [(ledger.capture, "capture"), (ledger.release, "release")])
def test_what_costs_nothing_is_held_and_settled_too(alice: Account, settle, kind: str) -> None:
    """D11."""
    ledger.hold(alice, 0, reference="free")

    settle("free")

    assert money(alice) == (100, 0)
    assert statement(alice)[:2] == [(kind, 0, 0), ("hold", 0, 0)]


def test_a_hold_of_everything_leaves_nothing_available(alice: Account) -> None:
    ledger.hold(alice, 100, reference="all")

    with assert_refused(ledger.InsufficientCredits, match="costs 1 credits and 0 are available"):
        ledger.hold(alice, 1, reference="more")


@pytest.mark.django_db
@settings(deadline=None)
@given(amount=st.integers(0, CREDITS_MAX), part=st.fractions(0, 1))
def test_capture_and_release_add_up_to_the_hold(amount: int, part) -> None:
    """D10: part of the result, part of the price, in the customer's favour."""
    account = Account.objects.first() or open_account("alice", credits=CREDITS_MAX)
    ledger.adjust(account, CREDITS_MAX - money(account)[0] or 1, key=f"up:{Entry.objects.count()}", **BY_HAND)
    reference = f"job:{Entry.objects.count()}"
    ledger.hold(account, amount, reference=reference)

    settled = ledger.capture(reference, int(amount * part))

    assert settled.captured + settled.released == amount
    assert settled.captured <= amount * part
    assert audit().clean


def test_a_grant_comes_from_the_treasury(bob: Account) -> None:
    entry = ledger.grant(bob, 50, key="gift", actor="staff", reason="welcome")

    assert money(bob) == (50, 0)
    assert (entry.counter_side, entry.actor, entry.reason) == ("treasury", "staff", "welcome")
    assert str(entry) == "grant +50/+0"


@pytest.mark.parametrize("change, balance", [(+20, 120), (-20, 80), (-70, 30)])
def test_an_adjustment_corrects_what_is_not_held(alice: Account, change: int, balance: int) -> None:
    """D16: down to what the open holds need, and no further."""
    ledger.hold(alice, 30, reference="fox")

    ledger.adjust(alice, change, key="fix", **BY_HAND)

    assert money(alice) == (balance, 30)


def test_a_refund_gives_back_what_was_captured(alice: Account) -> None:
    """D3: as a new entry, with an actor and a reason."""
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox", 20)

    entry = ledger.refund("fox", 5, key="sorry", **BY_HAND)

    assert money(alice) == (85, 0)
    assert (entry.kind, entry.counter_side, entry.actor, entry.reason) == ("refund", "revenue", "staff", "a mistake")


@pytest.mark.parametrize("again", range(3))
def test_the_same_key_again_changes_nothing(alice: Account, again: int) -> None:
    """D8: a double click, a reloaded form, a command run twice."""
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox")
    repeated = [
        lambda: ledger.grant(alice, 10, key="grant", actor="staff"),
        lambda: ledger.adjust(alice, -10, key="adjust", **BY_HAND),
        lambda: ledger.refund("fox", 30, key="refund", **BY_HAND),
    ][again]
    first, after = repeated(), money(alice)

    assert repeated() == first
    assert money(alice) == after


def test_a_key_stands_for_one_posting_only(alice: Account, bob: Account) -> None:
    """Another account, amount or verb under a used key would be lost without a word."""
    ledger.grant(alice, 10, key="gift", actor="staff")

    for mixed_up in (
        lambda: ledger.grant(bob, 10, key="gift", actor="staff"),
        lambda: ledger.grant(alice, 11, key="gift", actor="staff"),
        lambda: ledger.adjust(alice, 10, key="gift", **BY_HAND),
    ):
        with assert_refused(ledger.KeyTaken):
            mixed_up()


def test_the_statement_tells_the_newest_first(alice: Account) -> None:
    """D17: by a key that never changes."""
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox", 20)
    ledger.refund("fox", 5, key="sorry", **BY_HAND)
    ledger.adjust(alice, -5, key="fix", **BY_HAND)

    assert statement(alice) == [
        ("adjust", -5, 0),
        ("refund", 5, 0),
        ("capture", -20, -30),
        ("hold", 0, 30),
        ("grant", 100, 0),
    ]


def test_a_user_with_a_history_cannot_be_deleted(alice: Account) -> None:
    """D12."""
    ledger.hold(alice, 30, reference="fox")

    for thing in (alice.user, alice, alice.holds.get()):
        with assert_refused(ProtectedError):
            thing.delete()
