"""Concurrent operations on one account. Each race has a negative control: without its guard, it is lost.

Cases of sections A and D of docs/failure-modes.md.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import F

from credits import ledger
from credits.audit import audit
from credits.ledger import InsufficientCredits, KeyTaken, NotOpen
from credits.models import Account, Entry, Hold
from tests.credits.tables import BY_STAFF, balance_and_held, open_account
from tests.credits.unsafe_ledger import UnsafeLedger
from tests.helpers.database_guards import without_constraint, without_unique
from tests.helpers.threads import race, refusals
from tests.services.waiting import a_lock_is_awaited, until

# SQLite has one writer at a time and settles every race by that.
pytestmark = [pytest.mark.only_postgresql, pytest.mark.django_db(transaction=True)]

RACERS = 16


# --- Holding ---


@pytest.mark.parametrize("affordable", [0, 1, 5, RACERS - 1, RACERS])
def test_a12_concurrent_holds_pass_as_far_as_the_balance_reaches(affordable: int) -> None:
    alice = open_account("alice", credits=affordable * 10 + 9)

    results = race(*(partial(ledger.hold, alice, 10, reference=f"order:{n}") for n in range(RACERS)))

    assert refusals(results) == [InsufficientCredits] * (RACERS - affordable)
    assert balance_and_held(alice) == (affordable * 10 + 9, affordable * 10)
    assert audit().clean


def test_of_concurrent_holds_with_one_reference_one_passes(alice: Account) -> None:
    results = race(*(partial(ledger.hold, alice, 5, reference="order") for _ in range(RACERS)))

    assert refusals(results) == [ledger.HoldExists] * (RACERS - 1)
    assert balance_and_held(alice) == (100, 5)
    assert audit().clean


def test_without_the_conditional_update_two_holds_spend_the_same_credits(alice: Account) -> None:
    """Negative control."""
    unsafe = UnsafeLedger(racers=2)

    results = race(*(partial(unsafe.hold, alice, 60, reference=f"order:{n}") for n in range(2)))

    assert refusals(results) == []
    assert sum(Hold.objects.values_list("amount", flat=True)) == 120
    assert {finding.rule for finding in audit().findings} == {"balance", "holds"}


def test_without_the_condition_the_check_constraint_refuses_the_second_hold(alice: Account) -> None:
    unconditional = partial(Account.objects.update, held=F("held") + 60)

    results = race(unconditional, unconditional)

    assert refusals(results) == [IntegrityError]
    assert balance_and_held(alice) == (100, 60)


# --- Settling ---


def test_concurrent_captures_and_releases_settle_a_hold_once(alice: Account) -> None:
    """D1, D2, D3."""
    ledger.hold(alice, 30, reference="order")

    results = race(*([partial(ledger.capture, "order"), partial(ledger.release, "order")] * (RACERS // 2)))

    assert refusals(results) == [NotOpen] * (RACERS - 1)
    assert balance_and_held(alice) in [(70, 0), (100, 0)]
    assert audit().clean


def _settle_unsafely(alice: Account) -> list[type[Exception]]:
    ledger.hold(alice, 30, reference="order")
    unsafe = UnsafeLedger(racers=2)
    return refusals(race(partial(unsafe.settle, "order", "capture"), partial(unsafe.settle, "order", "release")))


def test_without_the_conditional_update_the_unique_index_refuses_the_second_settlement(alice: Account) -> None:
    assert _settle_unsafely(alice) == [IntegrityError]
    assert Entry.objects.filter(kind__in=Entry.SETTLING).count() == 1


def test_without_the_unique_index_as_well_a_hold_settles_twice(alice: Account) -> None:
    """Negative control."""
    with without_constraint(Entry, "credits_hold_settles_once"):
        assert _settle_unsafely(alice) == []
        assert Entry.objects.filter(kind__in=Entry.SETTLING).count() == 2
        assert "settlement" in {finding.rule for finding in audit().findings}


# --- Granting and refunding ---


def test_d8_concurrent_grants_with_one_key_count_once(alice: Account) -> None:
    results = race(*(partial(ledger.grant, alice, 10, key="gift", actor="staff") for _ in range(RACERS)))

    assert len({entry.pk for entry in results}) == 1
    assert balance_and_held(alice) == (110, 0)


def test_a_repetition_waits_for_the_first_and_answers_the_same(alice: Account) -> None:
    """D8: the second grant begins while the first is not committed, which the race above may miss."""

    def repeat() -> Entry:
        try:
            return ledger.grant(alice, 10, key="gift", actor="staff")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first = ledger.grant(alice, 10, key="gift", actor="staff")
            second = pool.submit(repeat)
            until(a_lock_is_awaited)

        assert second.result() == first


def test_concurrent_refunds_with_one_key_count_once(alice: Account) -> None:
    ledger.hold(alice, 30, reference="order")
    ledger.capture("order")

    results = race(*(partial(ledger.refund, "order", 20, key="sorry", **BY_STAFF) for _ in range(RACERS)))

    assert len({entry.pk for entry in results}) == 1
    assert balance_and_held(alice) == (90, 0)
    assert audit().clean


def test_concurrent_refunds_are_together_at_most_what_was_captured(alice: Account) -> None:
    ledger.hold(alice, 30, reference="order")
    ledger.capture("order")

    results = race(*(partial(ledger.refund, "order", 10, key=f"sorry:{n}", **BY_STAFF) for n in range(RACERS)))

    assert refusals(results) == [ledger.RefundTooLarge] * (RACERS - 3)
    assert balance_and_held(alice) == (100, 0)
    assert audit().clean


def test_concurrent_grants_to_two_accounts_with_one_key_count_for_one(alice: Account, bob: Account) -> None:
    results = race(*(partial(ledger.grant, account, 10, key="gift", actor="staff") for account in (alice, bob)))

    assert refusals(results) == [KeyTaken]
    assert balance_and_held(alice)[0] + balance_and_held(bob)[0] == 110
    assert audit().clean


def _grant_unsafely(alice: Account) -> list[type[Exception]]:
    unsafe = UnsafeLedger(racers=2)
    return refusals(race(*(partial(unsafe.grant, alice, 10, key="gift") for _ in range(2))))


def test_without_the_lock_the_unique_key_refuses_the_second_grant(alice: Account) -> None:
    assert _grant_unsafely(alice) == [IntegrityError]
    assert audit().clean


def test_without_the_unique_key_as_well_a_grant_counts_twice(alice: Account) -> None:
    """Negative control."""
    with without_unique(Entry, "key"):
        assert _grant_unsafely(alice) == []
        assert Entry.objects.filter(key="gift").count() == 2
        assert not audit().clean


# --- Adjusting ---


def test_d7_an_adjustment_and_a_hold_do_not_spend_the_same_credits(alice: Account) -> None:
    results = race(
        partial(ledger.hold, alice, 60, reference="order"), partial(ledger.adjust, alice, -60, key="fix", **BY_STAFF)
    )

    assert refusals(results) == [InsufficientCredits]
    assert balance_and_held(alice) in [(100, 60), (40, 0)]
    assert audit().clean


def test_d7_many_adjustments_and_holds_do_not_deadlock(alice: Account) -> None:
    holds = [partial(ledger.hold, alice, 1, reference=f"order:{n}") for n in range(RACERS // 2)]
    adjustments = [partial(ledger.adjust, alice, 1, key=f"fix:{n}", **BY_STAFF) for n in range(RACERS // 2)]

    assert refusals(race(*holds, *adjustments)) == []
    assert balance_and_held(alice) == (108, 8)
    assert audit().clean


def _adjust_unsafely(alice: Account) -> list[type[Exception]]:
    unsafe = UnsafeLedger(racers=2)
    hold, adjust = partial(unsafe.hold, alice, 60, reference="order"), partial(unsafe.adjust, alice, -60, key="fix")
    return refusals(race(hold, adjust))


def test_without_the_conditional_update_the_check_constraint_refuses_the_adjustment(alice: Account) -> None:
    assert _adjust_unsafely(alice) == [IntegrityError]
    assert audit().clean


def test_without_the_check_constraint_as_well_more_is_held_than_the_balance(alice: Account) -> None:
    """Negative control."""
    with without_constraint(Account, "credits_held_within_balance"):
        assert _adjust_unsafely(alice) == []
        assert balance_and_held(alice) == (40, 60)


# --- Reading at the same time ---


def _use(account: Account, reference: str, n: int) -> None:
    """One order: hold, then capture, release or refund; grant credits when there are not enough."""
    try:
        ledger.hold(account, 7, reference=reference)
    except InsufficientCredits:
        ledger.grant(account, 20, key=reference, actor="test")
        return
    if n % 3 == 0:
        ledger.release(reference)
    else:
        ledger.capture(reference, n % 8)
        if n % 8 > 4:
            ledger.refund(reference, 3, key=f"{reference}:refund", **BY_STAFF)


def test_d14_an_audit_during_writes_sees_balances_that_add_up(alice: Account, bob: Account) -> None:
    """I1: snapshots under load, as in Jepsen's bank test."""
    is_over = threading.Event()

    def write(account: Account, name: str) -> None:
        for n in itertools.takewhile(lambda n: not is_over.is_set(), itertools.count()):
            _use(account, f"{name}:{n}", n)

    def read() -> set[str]:
        try:
            return {finding.rule for _ in range(25) for finding in audit().findings}
        finally:
            is_over.set()

    writers = [partial(write, account, f"writer:{n}") for n, account in enumerate([alice, bob] * 3)]
    *written, broken_rules = race(*writers, read)

    assert refusals(written) == []
    assert broken_rules == set()
    assert Entry.objects.filter(kind="capture").exists()
    assert audit().clean


def test_an_audit_between_two_transactions_sees_a_balance_without_its_entry(alice: Account) -> None:
    """Negative control: the balance is committed before its entry."""
    Account.objects.update(balance=F("balance") + 10)
    between = audit().findings
    with transaction.atomic():
        Entry.objects.create(
            account=alice, kind="grant", balance_change=10, counter_side="treasury", key="late", available_after=0
        )

    assert {finding.rule for finding in between} == {"balance", "zero-sum"}
    assert audit().clean
