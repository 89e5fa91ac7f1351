"""A process whose clock is ten minutes fast does no harm, and logs it. Case ids: docs/failure-modes.md."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from config.management.ports import free_port
from database.clock import from_now
from generations.models import Generation, ProviderCallback, Status, Submission
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.web_server import serve
from tests.services.faketime import wrong_clock
from tests.services.processes import Processes
from tests.services.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)
TEN_MINUTES = int(timedelta(minutes=10).total_seconds())


@pytest.mark.once
def test_b37_a_web_server_with_a_wrong_clock_logs_it_and_loses_no_generation(
    limn: Processes, fal: Simulator, order: PlaceOrder, settings: Settings
) -> None:
    port = free_port()
    settings.SITE_URL = f"http://127.0.0.1:{port}"
    web = serve(limn, port, **wrong_clock(TEN_MINUTES))
    generations = [order() for _ in range(3)]
    limn("work", SITE_URL=settings.SITE_URL)

    completed = Generation.objects.filter(status=Status.COMPLETED)
    until(lambda: completed.count() == len(generations), what="the reconciler to complete all generations")

    assert ProviderCallback.objects.count() == 0
    (seconds_off,) = re.findall(r"callbacks rejected for skew .*seconds_off=(-?\d+)", web.output)
    assert int(seconds_off) == pytest.approx(-TEN_MINUTES, abs=60)


@pytest.mark.only_postgresql
def test_e14_a_worker_with_a_fast_clock_takes_no_lease_from_another(
    limn: Processes, submitted: Submission, order: PlaceOrder
) -> None:
    lease, leased = uuid4(), Generation.objects.filter(pk=submitted.generation_id)
    leased.update(lease=lease, leased_until=from_now(TEN_MINUTES / 2), next_attempt_at=Now())
    free = order()

    limn("work", **wrong_clock(TEN_MINUTES))
    until(lambda: Generation.objects.filter(pk=free.pk, status=Status.PROCESSING).exists())

    assert leased.get().lease == lease
