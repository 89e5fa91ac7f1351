"""The SQL of `jobs.statements`, compared with what the ORM answers."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from database.clock import from_now
from generations.jobs import leases, statements
from generations.models import Generation
from tests.fixtures.orders import PlaceOrder
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_updates_and_returns_the_rows_that_the_orm_would(order: PlaceOrder) -> None:
    first, second, third = order(), order(), order()
    lease = uuid4()

    updated = statements.update_unlocked(
        Generation.objects.filter(next_attempt_at__lte=Now()).order_by("-pk")[:2],
        lease=lease,
        attempts=F("attempts") + 7,
    )

    expected = Generation.objects.filter(pk__in=[second.pk, third.pk])
    fields = [field.attname for field in Generation._meta.concrete_fields]
    assert set(updated) == set(expected)
    for row in updated:
        assert [getattr(row, name) for name in fields] == list(expected.values_list(*fields).get(pk=row.pk))
    assert [(row.lease, row.attempts) for row in expected] == [(lease, 7)] * 2
    assert Generation.objects.get(pk=first.pk).lease is None


def test_it_returns_nothing_if_no_row_matches(order: PlaceOrder) -> None:
    order()

    assert statements.update_unlocked(Generation.objects.filter(attempts=9), attempts=1) == []


@pytest.mark.only_postgresql
def test_a_locked_row_is_passed_over_without_waiting(order: PlaceOrder) -> None:
    locked, free = order(), order()
    is_locked, done = threading.Event(), threading.Event()

    def hold_a_lock() -> None:
        with transaction.atomic():
            Generation.objects.select_for_update().get(pk=locked.pk)
            is_locked.set()
            done.wait(HANG_SECONDS)
        connection.close()

    thread = threading.Thread(target=hold_a_lock)
    thread.start()
    is_locked.wait(HANG_SECONDS)
    updated = statements.update_unlocked(Generation.objects.all(), leased_until=from_now(30))
    done.set()
    thread.join()

    assert updated == [free]


@pytest.mark.only_postgresql
def test_a_claim_is_one_statement(order: PlaceOrder) -> None:
    order()

    for expected in (1, 0):
        with CaptureQueriesContext(connection) as captured:
            assert len(leases.claim(Generation.objects.in_progress(), limit=5, seconds=30)) == expected
        assert len(captured) == 1
