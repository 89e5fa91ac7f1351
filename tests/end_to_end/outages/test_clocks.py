"""A process whose clock is far from the database's says so and does no work. Case ids: docs/failure-modes.md."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest
from pytest_django.fixtures import Settings

from accounts import api_keys
from config.management.ports import free_port
from credits.models import Account
from generations.models import Generation, Heartbeat, Phase, ProviderCallback, Status
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
@pytest.mark.parametrize("seconds_off", [TEN_MINUTES, -3 * 3600])
def test_e14_a_worker_with_a_wrong_clock_leaves_the_work_to_another(
    limn: Processes, order: PlaceOrder, seconds_off: int
) -> None:
    generation = order()

    wrong = limn("work", **wrong_clock(seconds_off))
    until(lambda: "the clock of this process is wrong" in wrong.output)

    # No loop has done anything, and none has a heartbeat.
    assert not Generation.objects.exclude(phase=Phase.QUEUED).exists()
    assert not Heartbeat.objects.exists()
    limn("work")
    until(lambda: Generation.objects.filter(pk=generation.pk, status=Status.COMPLETED).exists())


@pytest.mark.only_postgresql
def test_e14_a_clock_that_is_a_little_wrong_is_no_reason_to_stop(limn: Processes, order: PlaceOrder) -> None:
    generation = order()

    slow = limn("work", **wrong_clock(-20))
    until(lambda: Generation.objects.filter(pk=generation.pk, status=Status.COMPLETED).exists())

    assert "the clock of this process is wrong" not in slow.output


@pytest.mark.only_postgresql
def test_e14_a_web_server_with_a_wrong_clock_is_not_ready_and_takes_no_order(limn: Processes, alice: Account) -> None:
    port = free_port()
    web = serve(limn, port, **wrong_clock(TEN_MINUTES))

    ready = httpx.get(f"http://127.0.0.1:{port}/health/ready")
    order = httpx.post(
        f"http://127.0.0.1:{port}/api/v1/generations/",
        json={"model": "flux-schnell", "input": {"prompt": "a cat"}},
        headers={"Authorization": f"Token {api_keys.issue(alice.user, 'test').plain}"},
    )

    assert ready.status_code == 503
    assert re.fullmatch(r"\+(599|60\d) s from the database's", ready.json()["parts"]["clock"])
    assert (order.status_code, order.json()["detail"]) == (503, "The clock of this server is wrong.")
    assert not Generation.objects.exists()
    assert "the clock of this process is wrong" in web.output


@pytest.mark.only_postgresql
@pytest.mark.parametrize("seconds_off", [-7 * 3600, 7 * 3600])
def test_e14_the_command_line_with_a_wrong_clock_orders_nothing(
    limn: Processes, alice: Account, seconds_off: int
) -> None:
    command = limn("generate", "a cat", "--model", "flux-schnell", "--user", "alice", **wrong_clock(seconds_off))

    assert command.wait() == 1
    assert "Nothing was done: the clock of this process is " in command.output
    assert not Generation.objects.exists()
