"""What the ledger refuses. A refused operation changes no row. Cases of section D of docs/failure-modes.md."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from credits import ledger
from credits.models import CREDITS_MAX, KEY_CHARACTERS_MAX, Account
from tests.credits.tables import BY_STAFF, all_rows, assert_refused, balance_and_held

# D9 and D11: credits are whole numbers within a range.
NO_AMOUNTS: list[Any] = [True, 1.0, 0.5, "1", Decimal(1), CREDITS_MAX + 1, float("nan")]
NOT_WHOLE = "is not a whole number"


def test_d9_a_hold_takes_whole_credits_only(alice: Account) -> None:
    for amount in [-1, None, *NO_AMOUNTS]:
        with assert_refused(ValueError, match=NOT_WHOLE):
            ledger.hold(alice, amount, reference="fox")


def test_d9_a_grant_takes_whole_credits_only(alice: Account) -> None:
    for amount in [0, -1, None, *NO_AMOUNTS]:
        with assert_refused(ValueError, match=NOT_WHOLE):
            ledger.grant(alice, amount, key="gift", actor="staff")


def test_d9_an_adjustment_takes_whole_credits_only(alice: Account) -> None:
    for change in [-CREDITS_MAX - 1, None, *NO_AMOUNTS]:
        with assert_refused(ValueError, match=NOT_WHOLE):
            ledger.adjust(alice, change, key="fix", **BY_STAFF)


def test_d9_a_capture_takes_whole_credits_up_to_the_hold(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    for amount in [31, -1, *NO_AMOUNTS]:
        with assert_refused(ValueError, match=NOT_WHOLE):
            ledger.capture("fox", amount)


def test_d9_a_refund_takes_whole_credits_only(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox")

    for amount in [0, -1, None, *NO_AMOUNTS]:
        with assert_refused(ValueError, match=NOT_WHOLE):
            ledger.refund("fox", amount, key="sorry", **BY_STAFF)


def test_d9_the_smallest_and_the_largest_amounts_are_accepted(bob: Account) -> None:
    """The other side of the refusals above."""
    ledger.grant(bob, 1, key="one", actor="staff")
    ledger.grant(bob, CREDITS_MAX, key="all", actor="staff")
    ledger.hold(bob, CREDITS_MAX, reference="fox")
    ledger.capture("fox", CREDITS_MAX)
    ledger.refund("fox", 1, key="sorry", **BY_STAFF)
    ledger.adjust(bob, -1, key="fix", **BY_STAFF)

    assert balance_and_held(bob) == (1, 0)


def test_d4_a_hold_that_the_account_cannot_afford_is_refused(alice: Account) -> None:
    before = all_rows()

    with pytest.raises(ledger.InsufficientCredits) as refusal:
        ledger.hold(alice, 101, reference="fox")

    assert (refusal.value.code, refusal.value.status) == ("insufficient_credits", 402)
    assert (refusal.value.needed, refusal.value.available) == (101, 100)
    assert all_rows() == before


def test_a_reference_has_one_hold_in_all_accounts(alice: Account, bob: Account) -> None:
    ledger.grant(bob, 50, key="gift", actor="staff")
    ledger.hold(alice, 30, reference="fox")

    for account in (alice, bob):
        with assert_refused(ledger.HoldExists):
            ledger.hold(account, 30, reference="fox")


def test_a_reference_keeps_its_hold_after_it_is_settled(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.release("fox")

    with assert_refused(ledger.HoldExists, match="fox already has a hold"):
        ledger.hold(alice, 30, reference="fox")


def test_a_hold_settles_once(alice: Account) -> None:
    """D1, D2, D3: a capture or a release after a capture or a release."""
    for first, second in product((ledger.capture, ledger.release), repeat=2):
        reference = f"{first.__name__} and {second.__name__}"
        ledger.hold(alice, 10, reference=reference)
        first(reference)

        with assert_refused(ledger.NotOpen, match="already settled"):
            second(reference)


def test_only_a_hold_can_be_settled_or_refunded(alice: Account) -> None:
    for operation in (
        lambda: ledger.capture("fox"),
        lambda: ledger.release("fox"),
        lambda: ledger.refund("fox", 1, key="sorry", **BY_STAFF),
    ):
        with assert_refused(ledger.NotOpen, match="There is no hold for fox"):
            operation()


def test_only_captured_credits_can_be_refunded(alice: Account) -> None:
    ledger.hold(alice, 30, reference="open")
    ledger.hold(alice, 30, reference="released")
    ledger.release("released")

    for reference in ("open", "released"):
        with assert_refused(ledger.RefundTooLarge):
            ledger.refund(reference, 1, key="sorry", **BY_STAFF)


def test_d3_refunds_together_are_at_most_what_was_captured(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox", 20)
    ledger.refund("fox", 15, key="sorry", **BY_STAFF)

    with assert_refused(ledger.RefundTooLarge):
        ledger.refund("fox", 6, key="very sorry", **BY_STAFF)


def test_d16_an_adjustment_leaves_what_open_holds_reserve(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    with assert_refused(ledger.InsufficientCredits, match="costs 71 credits and 70 are available"):
        ledger.adjust(alice, -71, key="fix", **BY_STAFF)


def test_an_adjustment_needs_an_amount_and_a_reason(alice: Account) -> None:
    for change, reason in ((5, ""), (0, "a mistake")):
        with assert_refused(ValueError, match="needs an amount other than 0 and a reason"):
            ledger.adjust(alice, change, key="fix", actor="staff", reason=reason)


def test_a_key_has_1_to_100_characters(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox")

    for key in ("", "x" * (KEY_CHARACTERS_MAX + 1)):
        for post in (
            lambda key: ledger.grant(alice, 5, key=key, actor="staff"),
            lambda key: ledger.adjust(alice, 5, key=key, **BY_STAFF),
            lambda key: ledger.refund("fox", 5, key=key, **BY_STAFF),
        ):
            with assert_refused(ValueError, match="A key has 1 to 100 characters"):
                post(key)
    for key in ("x", "x" * KEY_CHARACTERS_MAX):
        assert ledger.grant(alice, 5, key=key, actor="staff").key == key
