"""Many customers of one account at the same moment, and proof that these races can be lost."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import F

from credits import ledger
from credits.audit import audit
from credits.ledger import InsufficientCredits, KeyTaken, NotOpen
from credits.models import Account, Entry, Hold
from tests.credits.books import money, open_account, without_constraint, without_unique
from tests.credits.racing import Naive, race, refusals
from tests.services.waiting import somebody_waits, until

pytestmark = [pytest.mark.only_postgresql, pytest.mark.django_db(transaction=True)]

MANY = 16
BY_HAND = {"actor": "staff", "reason": "a mistake"}


# --- Spending ---


@pytest.mark.parametrize("affordable", [0, 1, 5, MANY - 1, MANY])
def test_of_many_orders_as_many_pass_as_can_be_paid(affordable: int) -> None:
    """A12, D4."""
    alice = open_account("alice", credits=affordable * 10 + 9)

    results = race(*(partial(ledger.hold, alice, 10, reference=f"order:{n}") for n in range(MANY)))

    assert refusals(results) == [InsufficientCredits] * (MANY - affordable)
    assert money(alice) == (affordable * 10 + 9, affordable * 10)
    assert audit().clean


def test_one_reference_is_held_once(alice: Account) -> None:
    results = race(*(partial(ledger.hold, alice, 5, reference="order") for _ in range(MANY)))

    assert refusals(results) == [ledger.HoldExists] * (MANY - 1)
    assert money(alice) == (100, 5)
    assert audit().clean


def test_a_naive_hold_spends_the_same_credits_twice(alice: Account) -> None:
    """Negative control: this race is there to be lost."""
    naive = Naive(racers=2)

    results = race(*(partial(naive.hold, alice, 60, reference=f"order:{n}") for n in range(2)))

    assert refusals(results) == []
    assert sum(Hold.objects.values_list("amount", flat=True)) == 120
    assert {finding.rule for finding in audit().findings} == {"balance", "holds"}


def test_without_the_condition_the_check_constraint_still_holds(alice: Account) -> None:
    """D4: both guards are there."""
    unconditional = partial(Account.objects.update, held=F("held") + 60)

    results = race(unconditional, unconditional)

    assert refusals(results) == [IntegrityError]
    assert money(alice) == (100, 60)


# --- Settling ---


@pytest.mark.parametrize("attempt", range(3))
def test_a_hold_that_is_captured_and_released_at_once_settles_once(alice: Account, attempt: int) -> None:
    """D1, D2, D3."""
    ledger.hold(alice, 30, reference="order")

    results = race(*([partial(ledger.capture, "order"), partial(ledger.release, "order")] * (MANY // 2)))

    assert refusals(results) == [NotOpen] * (MANY - 1)
    assert money(alice) in [(70, 0), (100, 0)]
    assert audit().clean


def _settle_naively(alice: Account) -> list[type[Exception]]:
    ledger.hold(alice, 30, reference="order")
    naive = Naive(racers=2)
    return refusals(race(partial(naive.settle, "order", "capture"), partial(naive.settle, "order", "release")))


def test_without_the_condition_the_second_settlement_is_refused(alice: Account) -> None:
    assert _settle_naively(alice) == [IntegrityError]
    assert Entry.objects.filter(kind__in=Entry.SETTLING).count() == 1


def test_without_any_guard_a_hold_settles_twice(alice: Account) -> None:
    """Negative control."""
    with without_constraint(Entry, "credits_hold_settles_once"):
        assert _settle_naively(alice) == []
        assert Entry.objects.filter(kind__in=Entry.SETTLING).count() == 2
        assert "settlement" in {finding.rule for finding in audit().findings}


# --- Granting ---


def test_a_grant_that_comes_many_times_at_once_counts_once(alice: Account) -> None:
    """D8."""
    results = race(*(partial(ledger.grant, alice, 10, key="gift", actor="staff") for _ in range(MANY)))

    assert len({entry.pk for entry in results}) == 1
    assert money(alice) == (110, 0)


def test_a_repetition_waits_for_the_first_and_answers_the_same(alice: Account) -> None:
    """D8: the moment that the race above may miss."""

    def again() -> Entry:
        try:
            return ledger.grant(alice, 10, key="gift", actor="staff")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first = ledger.grant(alice, 10, key="gift", actor="staff")
            second = pool.submit(again)
            until(somebody_waits)

        assert second.result(timeout=10) == first


def test_a_refund_that_comes_many_times_at_once_counts_once(alice: Account) -> None:
    ledger.hold(alice, 30, reference="order")
    ledger.capture("order")

    results = race(*(partial(ledger.refund, "order", 20, key="sorry", **BY_HAND) for _ in range(MANY)))

    assert len({entry.pk for entry in results}) == 1
    assert money(alice) == (90, 0)
    assert audit().clean


def test_refunds_at_once_are_together_at_most_what_was_captured(alice: Account) -> None:
    ledger.hold(alice, 30, reference="order")
    ledger.capture("order")

    results = race(*(partial(ledger.refund, "order", 10, key=f"sorry:{n}", **BY_HAND) for n in range(MANY)))

    assert refusals(results) == [ledger.RefundTooLarge] * (MANY - 3)
    assert money(alice) == (100, 0)
    assert audit().clean


def test_one_key_for_two_accounts_at_once_counts_for_one(alice: Account, bob: Account) -> None:
    results = race(*(partial(ledger.grant, account, 10, key="gift", actor="staff") for account in (alice, bob)))

    assert refusals(results) == [KeyTaken]
    assert money(alice)[0] + money(bob)[0] == 110
    assert audit().clean


def _grant_naively(alice: Account) -> list[type[Exception]]:
    naive = Naive(racers=2)
    return refusals(race(*(partial(naive.grant, alice, 10, key="gift") for _ in range(2))))


def test_without_the_lock_the_second_grant_is_refused(alice: Account) -> None:
    assert _grant_naively(alice) == [IntegrityError]
    assert audit().clean


def test_without_any_guard_a_grant_counts_twice(alice: Account) -> None:
    """Negative control."""
    with without_unique(Entry, "key"):
        assert _grant_naively(alice) == []
        assert Entry.objects.filter(key="gift").count() == 2
        assert not audit().clean


# --- Correcting ---


def test_a_correction_and_an_order_do_not_spend_the_same_credits(alice: Account) -> None:
    """D7."""
    orders = [partial(ledger.hold, alice, 60, reference="order")]
    corrections = [partial(ledger.adjust, alice, -60, key="fix", **BY_HAND)]

    results = race(*orders, *corrections)

    assert refusals(results) == [InsufficientCredits]
    assert money(alice) in [(100, 60), (40, 0)]
    assert audit().clean


def test_corrections_and_orders_in_bulk_lock_in_one_order(alice: Account) -> None:
    """D7: no deadlock, and nothing is lost."""
    orders = [partial(ledger.hold, alice, 1, reference=f"order:{n}") for n in range(MANY // 2)]
    corrections = [partial(ledger.adjust, alice, 1, key=f"fix:{n}", **BY_HAND) for n in range(MANY // 2)]

    assert refusals(race(*orders, *corrections)) == []
    assert money(alice) == (108, 8)
    assert audit().clean


def _correct_naively(alice: Account) -> list[type[Exception]]:
    naive = Naive(racers=2)
    return refusals(
        race(partial(naive.hold, alice, 60, reference="order"), partial(naive.adjust, alice, -60, key="fix"))
    )


def test_without_the_lock_the_check_constraint_still_holds(alice: Account) -> None:
    assert _correct_naively(alice) == [IntegrityError]
    assert audit().clean


def test_without_any_guard_more_is_held_than_there_is(alice: Account) -> None:
    """Negative control."""
    with without_constraint(Account, "credits_held_within_balance"):
        assert _correct_naively(alice) == []
        assert money(alice) == (40, 60)


# --- Reading meanwhile ---


def _life(account: Account, name: str, lives: int) -> None:
    for n in range(lives):
        reference = f"{name}:{n}"
        try:
            ledger.hold(account, 7, reference=reference)
        except InsufficientCredits:
            ledger.grant(account, 20, key=reference, actor="test")
            continue
        if n % 3 == 0:
            ledger.release(reference)
        else:
            ledger.capture(reference, n % 8)
            if n % 8 > 4:
                ledger.refund(reference, 3, key=f"{reference}:refund", **BY_HAND)


def _watch(running: Counter[str]) -> tuple[int, set[str]]:
    seen, wrong = 0, set()
    while running["writers"]:
        wrong |= {finding.rule for finding in audit().findings}
        seen += 1
    return seen, wrong


def test_whoever_looks_meanwhile_sees_balances_that_add_up(alice: Account, bob: Account) -> None:
    """D14, I1: snapshots under load, as Jepsen's bank test takes them."""
    running = Counter(writers=6)

    def write(account: Account, name: str) -> None:
        try:
            _life(account, name, lives=40)
        finally:
            running["writers"] -= 1

    writers = [partial(write, account, f"writer:{n}") for n, account in enumerate([alice, bob] * 3)]
    *written, (seen, wrong) = race(*writers, partial(_watch, running))

    assert refusals(written) == []
    assert seen >= 10
    assert wrong == set()
    assert audit().clean


def test_whoever_looks_meanwhile_sees_a_balance_without_its_entry(alice: Account) -> None:
    """Negative control: balance and entry in two transactions, and the reader comes between them."""
    Account.objects.update(balance=F("balance") + 10)
    between = audit().findings
    with transaction.atomic():
        Entry.objects.create(account=alice, kind="grant", balance_change=10, counter_side="treasury", key="late")

    assert {finding.rule for finding in between} == {"balance", "zero-sum"}
    assert audit().clean
