"""Leases: claiming, renewing and releasing rows. Case ids: docs/failure-modes.md, group E."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from threading import Barrier
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations.jobs import leases, statements
from generations.models import Generation
from tests.fixtures.orders import PlaceOrder
from tests.helpers.clocks import just_passed
from tests.helpers.locks import another_session
from tests.helpers.threads import at_once, in_background
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db(transaction=True)


def claim(seconds: float = 30, *, limit: int = 10) -> list[Generation]:
    return leases.claim(Generation.objects.in_progress(), limit=limit, seconds=seconds)


# --- Claiming ---


def test_a_claimed_row_cannot_be_claimed_again(order: PlaceOrder) -> None:
    order()

    assert [len(claim()), len(claim())] == [1, 0]


def test_a_row_whose_lease_has_run_out_can_be_claimed(order: PlaceOrder) -> None:
    order()
    claim(seconds=-1)

    assert len(claim()) == 1


def test_the_row_that_has_been_due_longest_is_claimed_first(order: PlaceOrder) -> None:
    first, *_ = [order() for _ in range(3)]

    assert claim(limit=1) == [first]


def test_concurrent_workers_claim_different_rows(order: PlaceOrder) -> None:
    rows = {order().pk for _ in range(12)}

    claims = at_once(4, lambda _: [row.pk for row in claim(limit=6)])

    claimed = [pk for claim in claims for pk in claim]
    assert claimed
    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= rows


@pytest.mark.only_postgresql
def test_without_skip_locked_two_workers_take_the_same_row(order: PlaceOrder) -> None:
    """Negative control: the rows are read without a lock and written afterwards."""
    order()
    barrier = Barrier(2)

    def read_then_write(_: int) -> list[Any]:
        free = list(Generation.objects.filter(leased_until=None).values_list("pk", flat=True))
        barrier.wait(HANG_SECONDS)
        Generation.objects.filter(pk__in=free).update(leased_until=just_passed())
        return free

    assert [len(taken) for taken in at_once(2, read_then_write)] == [1, 1]


# --- Releasing ---


def test_a_released_row_is_free_and_due_after_the_pause(order: PlaceOrder) -> None:
    order()
    (row,) = claim()

    assert leases.release(row, retry_in_seconds=60)

    row.refresh_from_db()
    assert (row.lease, row.leased_until) == (None, None)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at > timezone.now()


def test_a_row_that_is_released_without_a_pause_is_due_as_before(order: PlaceOrder) -> None:
    due = order().next_attempt_at
    (row,) = claim()

    leases.release(row)

    row.refresh_from_db()
    assert row.next_attempt_at == due


def test_a_worker_that_has_lost_its_lease_cannot_release_the_row(order: PlaceOrder) -> None:
    order()
    (lost,) = claim(seconds=-1)
    (held,) = claim()

    assert leases.release(lost) is False

    held.refresh_from_db()
    assert held.leased_until is not None


def test_a_process_that_ends_releases_its_rows(order: PlaceOrder) -> None:
    order()
    claim()

    leases.release_all()

    assert len(claim()) == 1


def test_a_process_that_ends_does_not_release_rows_that_it_has_finished(order: PlaceOrder) -> None:
    order(), order()
    finished, held = claim()
    leases.forget(finished)

    leases.release_all()

    assert claim() == [held]


@pytest.mark.only_postgresql
def test_e2_a_locked_row_delays_the_release_of_no_other(order: PlaceOrder) -> None:
    order(), order()
    locked, other = claim()

    with another_session() as session:
        session.execute("SELECT 1 FROM generations_generation WHERE id = %s FOR UPDATE", [locked.pk])
        assert not leases.release_all(within_seconds=0)
        assert claim() == [other]

    assert leases.release_all()
    assert [(row, row.crashes) for row in claim()] == [(locked, 0), (other, 0)]


@pytest.mark.only_postgresql
def test_e2_a_row_that_is_locked_while_the_process_ends_is_released_afterwards(order: PlaceOrder) -> None:
    order()
    (locked,) = claim()

    with contextlib.ExitStack() as released:
        with another_session() as session:
            session.execute("SELECT 1 FROM generations_generation WHERE id = %s FOR UPDATE", [locked.pk])
            releasing = released.enter_context(in_background(leases.release_all))
            assert not releasing.done()
        assert releasing.result(HANG_SECONDS)

    assert [row.crashes for row in claim()] == [0]


def test_e2_a_row_that_waits_to_be_returned_is_released_as_well(order: PlaceOrder, monkeypatch) -> None:
    """Its work has raised, and the process ends before the row was returned."""
    monkeypatch.setattr(leases, "RETURN_SECONDS", HANG_SECONDS)
    order()
    (row,) = claim()
    leases.return_later(row)
    leases.forget(row)

    assert leases.release_all()

    assert [row.crashes for row in claim()] == [0]


def test_e2_a_process_that_ends_takes_back_the_crash_of_a_lease_that_ran_out(order: PlaceOrder) -> None:
    order()
    claim(seconds=-1)
    taken = leases.claim(Generation.objects.in_progress(), limit=1, seconds=30)
    for row in taken:
        leases.forget(row)

    assert leases.release_all()

    row = Generation.objects.get()
    assert (row.crashes, row.lease) == (0, taken[0].lease)


def test_a_process_that_ends_claims_nothing_more(order: PlaceOrder, monkeypatch) -> None:
    monkeypatch.setattr(leases, "_ended", threading.Event())
    order()

    leases.stop_claiming()

    assert claim() == []


def test_e2_a_process_that_ends_waits_for_a_claim_that_is_being_executed(order: PlaceOrder, monkeypatch) -> None:
    order()
    execute, may_answer = statements.UpdateUnlocked.execute, threading.Event()

    def execute_slowly(*args: Any, **options: Any) -> Any:
        claimed = execute(*args, **options)
        may_answer.wait(HANG_SECONDS)
        return claimed

    monkeypatch.setattr(statements.UpdateUnlocked, "execute", execute_slowly)
    with in_background(claim):
        until(lambda: Generation.objects.exclude(lease=None).exists())
        with in_background(leases.release_all):
            may_answer.set()

    assert Generation.objects.get().lease is None


# --- A claim whose answer is lost ---


@pytest.fixture
def lost_answer(monkeypatch) -> Iterator[None]:
    """The connection is lost once, after the commit of a claim."""
    execute = statements.UpdateUnlocked.execute

    def execute_and_lose(*args: Any, **options: Any) -> Any:
        execute(*args, **options)
        monkeypatch.setattr(statements.UpdateUnlocked, "execute", execute)
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(statements.UpdateUnlocked, "execute", execute_and_lose)
    with pytest.raises(OperationalError):
        claim(seconds=HANG_SECONDS)
    assert claimed_rows() == 1
    yield
    leases._unanswered.clear()


@pytest.fixture
def placed(order: PlaceOrder) -> Generation:
    return order()


def claimed_rows() -> int:
    return Generation.objects.exclude(lease=None).count()


@pytest.mark.usefixtures("placed", "lost_answer")
def test_e2_the_next_claim_takes_the_rows_of_a_claim_whose_answer_was_lost() -> None:
    assert [row.crashes for row in claim()] == [0]


@pytest.mark.usefixtures("placed", "lost_answer")
def test_e2_a_process_that_ends_releases_the_rows_of_a_claim_whose_answer_was_lost() -> None:
    assert leases.release_all()

    assert claimed_rows() == 0


@pytest.mark.usefixtures("placed", "lost_answer")
def test_if_the_lease_of_a_lost_claim_were_not_known_its_rows_would_stay_leased() -> None:
    """Negative control."""
    leases._unanswered.clear()

    assert claim() == []


# --- Renewing ---


def test_a_lease_is_renewed_while_the_work_lasts(order: PlaceOrder) -> None:
    order()
    (row,) = claim(seconds=3)
    first = Generation.objects.get().leased_until

    with leases.renewing(row, seconds=3):
        until(lambda: Generation.objects.get().leased_until != first)
        assert claim() == []


def test_a_lease_that_another_worker_took_is_not_renewed(order: PlaceOrder) -> None:
    order()
    (lost,) = claim(seconds=-1)
    (held,) = claim()
    before = Generation.objects.get().leased_until

    with leases.renewing(lost, seconds=0.03):
        # The thread ends when it finds that the lease is lost.
        until(lambda: renewing_threads() == 0 or Generation.objects.get().leased_until != before)

    assert Generation.objects.get().leased_until == before
    assert Generation.objects.get().lease == held.lease


def renewing_threads() -> int:
    return sum(thread.name == "lease" for thread in threading.enumerate())


def test_one_thread_renews_all_leases_of_the_process(order: PlaceOrder) -> None:
    for _ in range(5):
        order()
    rows = claim(seconds=3)
    first = Generation.objects.values_list("pk", "leased_until")
    before = set(first)

    leases.renew_until_forgotten(rows[:3], seconds=3)
    leases.renew_until_forgotten(rows[3:], seconds=3)
    until(lambda: not before & set(first.all()))

    assert renewing_threads() == 1
    for row in rows:
        leases.forget(row)
    until(lambda: renewing_threads() == 0)


def test_all_leases_are_renewed_by_one_statement(order: PlaceOrder) -> None:
    order(), order()
    rows = [(row, 30.0) for row in claim()]

    with CaptureQueriesContext(connection) as captured:
        leases._renewer._renew(rows)

    assert len(captured) == 1


def test_work_that_is_done_before_a_third_of_its_lease_needs_no_statement(order: PlaceOrder) -> None:
    order()
    (row,) = claim()
    before = Generation.objects.get().leased_until

    with leases.renewing(row, seconds=0.3):
        pass
    until(lambda: renewing_threads() == 0)

    assert Generation.objects.get().leased_until == before
