"""Leases: claiming, renewing and releasing rows. Case ids: docs/failure-modes.md, group E."""

from __future__ import annotations

import threading
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from generations.jobs import leases
from generations.models import Generation
from tests.fixtures.orders import PlaceOrder
from tests.services.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def claim(seconds: float = 30) -> list[Generation]:
    return leases.claim(Generation.objects.in_progress(), limit=10, seconds=seconds)


def test_what_one_has_claimed_nobody_else_gets(order: PlaceOrder) -> None:
    order()

    assert [len(claim()), len(claim())] == [1, 0]


def test_a_dead_workers_lease_runs_out(order: PlaceOrder) -> None:
    order()
    claim(seconds=-1)

    assert len(claim()) == 1


def test_the_longest_waiting_come_first_and_no_more_than_asked(order: PlaceOrder) -> None:
    first, *_ = [order() for _ in range(3)]

    (claimed,) = leases.claim(Generation.objects.in_progress(), limit=1, seconds=30)

    assert claimed == first


def test_released_it_is_free_and_due_when_told(order: PlaceOrder) -> None:
    order()
    (row,) = claim()

    assert leases.release(row, retry_in_seconds=60)

    row.refresh_from_db()
    assert (row.lease, row.leased_until) == (None, None)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at > timezone.now()


def test_released_without_a_time_it_is_due_as_before(order: PlaceOrder) -> None:
    due = order().next_attempt_at
    (row,) = claim()

    leases.release(row)

    row.refresh_from_db()
    assert row.next_attempt_at == due


def test_an_owner_who_slept_cannot_release_what_another_holds(order: PlaceOrder) -> None:
    order()
    (slept,) = claim(seconds=-1)
    (awake,) = claim()

    assert leases.release(slept) is False
    awake.refresh_from_db()
    assert awake.leased_until is not None


def test_a_kept_lease_outlives_its_seconds(order: PlaceOrder) -> None:
    order()
    (row,) = claim(seconds=0.6)
    first = Generation.objects.get().leased_until

    with leases.renewing(row, seconds=0.6):
        until(lambda: Generation.objects.get().leased_until != first)
        assert claim() == []


def test_a_lease_that_another_worker_took_is_not_renewed(order: PlaceOrder) -> None:
    order()
    (slept,) = claim(seconds=-1)
    (awake,) = claim()
    before = Generation.objects.get().leased_until

    with leases.renewing(slept, seconds=0.03):
        # The thread ends when it finds that the lease is lost.
        until(lambda: not is_renewing() or Generation.objects.get().leased_until != before)

    assert Generation.objects.get().leased_until == before
    assert Generation.objects.get().lease == awake.lease


def is_renewing() -> bool:
    return any(thread.name == "lease" for thread in threading.enumerate())


def test_a_process_that_ends_hands_back_what_it_has(order: PlaceOrder) -> None:
    order()
    claim()

    leases.release_all()

    assert len(claim()) == 1


def test_what_was_put_down_is_not_handed_back_from_another(order: PlaceOrder) -> None:
    order()
    (row,) = claim(seconds=-1)
    leases.forget(row)
    claim()

    leases.release_all()

    assert row.lease not in {lease for lease, _ in leases._held}


def test_e5_many_claimers_share_the_rows_without_overlap(order: PlaceOrder) -> None:
    rows = {order().pk for _ in range(12)}
    barrier = threading.Barrier(4)
    claimed: list[UUID] = []

    def take() -> None:
        barrier.wait()
        claimed.extend(row.pk for row in leases.claim(Generation.objects.in_progress(), limit=6, seconds=30))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= rows
    assert claimed


@pytest.mark.only_postgresql
def test_without_skip_locked_the_same_rows_are_taken_twice(order: PlaceOrder) -> None:
    """The negative control: read, then write, and two workers hold one row."""
    order()
    barrier = threading.Barrier(2)
    taken: list[UUID] = []

    def take() -> None:
        free = list(Generation.objects.filter(leased_until=None))
        barrier.wait()
        for row in free:
            Generation.objects.filter(pk=row.pk).update(leased_until=timezone.now())
            taken.append(row.pk)
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 2
