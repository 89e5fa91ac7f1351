"""What the ledger refuses, without leaving a trace."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import transaction

from credits import ledger
from credits.models import CREDITS_MAX, KEY_CHARACTERS_MAX, Account
from tests.credits.books import assert_refused, everything, money

BY_HAND = {"actor": "staff", "reason": "a mistake"}
NONSENSE = [-1, True, 1.0, 0.5, "1", None, Decimal(1), CREDITS_MAX + 1, float("nan")]


@pytest.mark.parametrize("amount", NONSENSE, ids=repr)
def test_a_hold_of_nonsense_is_refused(alice: Account, amount) -> None:
    """D9 and D11: whole credits within reason."""
    with assert_refused(ValueError, match="is not a whole number"):
        ledger.hold(alice, amount, reference="fox")


@pytest.mark.parametrize("amount", [0, *NONSENSE], ids=repr)
def test_a_grant_of_nonsense_is_refused(alice: Account, amount) -> None:
    with assert_refused(ValueError, match="is not a whole number"):
        ledger.grant(alice, amount, key="gift", actor="staff")


@pytest.mark.parametrize("change", [0, -CREDITS_MAX - 1, *NONSENSE[1:]], ids=repr)
def test_an_adjustment_by_nonsense_is_refused(alice: Account, change) -> None:
    with assert_refused(ValueError):
        ledger.adjust(alice, change, key="fix", **BY_HAND)


@pytest.mark.parametrize("amount", [31, *(word for word in NONSENSE if word is not None)], ids=repr)
def test_a_capture_of_nonsense_or_too_much_is_refused(alice: Account, amount) -> None:
    ledger.hold(alice, 30, reference="fox")

    with assert_refused(ValueError, match="is not a whole number"):
        ledger.capture("fox", amount)


@pytest.mark.parametrize("amount", [0, *NONSENSE], ids=repr)
def test_a_refund_of_nonsense_is_refused(alice: Account, amount) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox")

    with assert_refused(ValueError, match="is not a whole number"):
        ledger.refund("fox", amount, key="sorry", **BY_HAND)


def test_what_cannot_be_paid_is_refused_with_what_is_needed(alice: Account) -> None:
    before = everything()

    with pytest.raises(ledger.InsufficientCredits) as refusal:
        ledger.hold(alice, 101, reference="fox")

    assert (refusal.value.needed, refusal.value.available) == (101, 100)
    assert everything() == before


def test_a_reference_has_one_hold_whoever_asks(alice: Account, bob: Account) -> None:
    ledger.grant(bob, 50, key="gift", actor="staff")
    ledger.hold(alice, 30, reference="fox")

    for account in (alice, bob):
        with assert_refused(ledger.HoldExists):
            ledger.hold(account, 30, reference="fox")


def test_a_reference_has_one_hold_even_after_it_is_settled(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.release("fox")

    with assert_refused(ledger.HoldExists, match="for fox already"):
        ledger.hold(alice, 30, reference="fox")


@pytest.mark.parametrize("first", [ledger.capture, ledger.release])
@pytest.mark.parametrize("second", [ledger.capture, ledger.release])
def test_a_hold_settles_once(alice: Account, first, second) -> None:
    """D1, D2, D3: captured twice, released twice, one after the other."""
    ledger.hold(alice, 30, reference="fox")
    first("fox")

    with assert_refused(ledger.NotOpen, match="settled already"):
        second("fox")


@pytest.mark.parametrize("settle", [ledger.capture, ledger.release])
def test_what_was_never_held_is_not_settled(alice: Account, settle) -> None:
    with assert_refused(ledger.NotOpen, match="There is no hold for fox"):
        settle("fox")


def test_what_was_never_held_is_not_refunded(alice: Account) -> None:
    with assert_refused(ledger.NotOpen):
        ledger.refund("fox", 1, key="sorry", **BY_HAND)


@pytest.mark.parametrize("settle", [ledger.release, lambda reference: None], ids=["released", "open"])
def test_what_was_not_captured_is_not_refunded(alice: Account, settle) -> None:
    ledger.hold(alice, 30, reference="fox")
    settle("fox")

    with assert_refused(ledger.RefundTooLarge):
        ledger.refund("fox", 1, key="sorry", **BY_HAND)


def test_refunds_together_are_at_most_what_was_captured(alice: Account) -> None:
    """D3."""
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox", 20)
    ledger.refund("fox", 15, key="sorry", **BY_HAND)

    with assert_refused(ledger.RefundTooLarge):
        ledger.refund("fox", 6, key="very sorry", **BY_HAND)


def test_an_adjustment_leaves_what_is_held(alice: Account) -> None:
    """D16."""
    ledger.hold(alice, 30, reference="fox")

    with assert_refused(ledger.InsufficientCredits, match="costs 71 credits and 70 are available"):
        ledger.adjust(alice, -71, key="fix", **BY_HAND)


def test_an_adjustment_says_why(alice: Account) -> None:
    with assert_refused(ValueError, match="says why"):
        ledger.adjust(alice, 5, key="fix", actor="staff", reason="")


@pytest.mark.parametrize("key", ["", "x" * (KEY_CHARACTERS_MAX + 1)], ids=["none", "too long"])
def test_a_key_is_given_and_can_be_stored(alice: Account, key: str) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox")

    for posting in (
        lambda: ledger.grant(alice, 5, key=key, actor="staff"),
        lambda: ledger.adjust(alice, 5, key=key, **BY_HAND),
        lambda: ledger.refund("fox", 5, key=key, **BY_HAND),
    ):
        with assert_refused(ValueError, match="A key has 1 to 100 characters"):
            posting()


@pytest.mark.parametrize("characters", [1, KEY_CHARACTERS_MAX])
def test_a_key_may_be_short_or_long(alice: Account, characters: int) -> None:
    assert ledger.grant(alice, 5, key="x" * characters, actor="staff").key == "x" * characters


def test_a_refusal_leaves_the_callers_transaction_usable(alice: Account) -> None:
    with transaction.atomic():
        ledger.hold(alice, 30, reference="fox")
        with pytest.raises(ledger.HoldExists):
            ledger.hold(alice, 30, reference="fox")
        ledger.capture("fox")

    assert money(alice) == (70, 0)


def test_what_the_caller_rolls_back_never_happened(alice: Account) -> None:
    """D5: entry, hold and balance are written together or not at all."""
    with assert_refused(ZeroDivisionError), transaction.atomic():
        ledger.hold(alice, 30, reference="fox")
        ledger.capture("fox")
        1 / 0  # noqa: B018
