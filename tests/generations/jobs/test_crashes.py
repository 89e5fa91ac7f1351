"""What counts against a row: only workers that died while they held it. Case E4 of docs/failure-modes.md."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from django.utils import timezone

from generations.jobs import leases, parallel
from generations.jobs.leased_model import Leased
from generations.models import Generation
from tests.fixtures.orders import PlaceOrder
from tests.helpers.crashes import TROUBLE, crash
from tests.services.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def claim() -> Leased:
    (row,) = leases.claim(Generation.objects.in_progress(), limit=1, seconds=-1)
    row.refresh_from_db()
    return row


def test_a_lease_that_runs_out_is_a_crash(order: PlaceOrder) -> None:
    order()

    assert [claim().crashes for _ in range(4)] == [0, 1, 2, 3]


def test_a_release_resets_the_count(order: PlaceOrder) -> None:
    order()
    claim()

    leases.release(claim())

    assert claim().crashes == 0


def test_e2_a_release_at_the_end_of_the_process_is_no_crash(order: PlaceOrder) -> None:
    order()
    claim()

    leases.release_all()

    assert claim().crashes == 0


def test_a_worker_that_lives_and_lost_its_lease_takes_the_crash_back(order: PlaceOrder) -> None:
    """As after an outage of the database, during which no lease could be renewed."""
    order()
    (lost,) = leases.claim(Generation.objects.in_progress(), limit=1, seconds=-1)
    held = claim()
    assert held.crashes == 1

    leases.renew_until_forgotten([lost], seconds=0.03)

    until(lambda: Generation.objects.get().crashes == 0)
    assert Generation.objects.get().lease == held.lease


@pytest.mark.parametrize("error", TROUBLE, ids=repr)
def test_e4_trouble_in_a_living_worker_is_no_crash_and_the_row_waits(error: Exception, order: PlaceOrder) -> None:
    order()
    claim()

    def fail(row: Generation) -> None:
        raise error

    handled = leases.claim(Generation.objects.in_progress(), limit=1, seconds=30)
    parallel.run(handled, fail, give_up=fail, lease_seconds=30)

    until(lambda: Generation.objects.get().lease is None)
    assert Generation.objects.filter(next_attempt_at__gt=Now()).count() == 1
    assert claim().crashes == 1


def test_e4_the_pause_grows_while_the_trouble_lasts(order: PlaceOrder) -> None:
    order()

    def fail(row: Generation) -> None:
        raise OperationalError("the row is locked")

    def wait_of_next_failure() -> float:
        handled = leases.claim(Generation.objects.in_progress(), limit=1, seconds=30)
        parallel.run(handled, fail, give_up=fail, lease_seconds=30)
        until(lambda: Generation.objects.get().lease is None)
        due_at = Generation.objects.get().next_attempt_at
        assert due_at is not None
        return (due_at - timezone.now()).total_seconds()

    waits = [wait_of_next_failure() for _ in range(4)]

    assert waits[0] < 4 < waits[3]


def test_e4_a_row_that_is_handled_slowly_is_not_counted(order: PlaceOrder) -> None:
    """The worker lives, so its lease is renewed."""
    order()
    (row,) = leases.claim(Generation.objects.in_progress(), limit=1, seconds=0.5)
    first_lease_ended = threading.Event()

    def handle_slowly(row: Generation) -> None:
        claimed_until = row.leased_until
        until(lambda: Generation.objects.filter(leased_until__gt=claimed_until, leased_until__lt=Now()) or renewed())
        first_lease_ended.set()

    def renewed() -> bool:
        return Generation.objects.filter(leased_until__gt=row.leased_until).exists()

    parallel.run([row], handle_slowly, give_up=crash, lease_seconds=0.5)

    assert first_lease_ended.is_set()


def test_a_row_is_poison_after_five_crashes_in_a_row(order: PlaceOrder) -> None:
    order()

    assert [leases.has_crashed_too_often(claim()) for _ in range(7)] == [False] * 5 + [True] * 2
