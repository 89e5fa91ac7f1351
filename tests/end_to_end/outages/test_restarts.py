"""Deploys and stopped workers: nobody hears a 5xx for it, and health says what is missing. J12, F13."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Event

import pytest
import requests
from django.db.models import F
from django.test import Client

from config.management.ports import free_port
from generations.models import Heartbeat, ProviderCallback
from simulator import Simulator
from tests.fixtures.callbacks import SubmitMany, submit_many
from tests.helpers.threads import at_once
from tests.helpers.web_server import Web, serve
from tests.services.processes import Processes
from tests.services.waiting import until

__all__ = ["submit_many"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


def insistent(post: Callable[[], int]) -> list[int]:
    """As fal: again until it is 200. Every status that was heard; nothing is heard from a closed port."""
    heard: list[int] = []

    def accepted() -> bool:
        try:
            heard.append(post())
        except requests.ConnectionError:
            return False
        return heard[-1] == 200

    until(accepted, what="a server")
    return heard


def test_j12_a_restart_under_load_loses_no_callback_and_says_no_5xx(
    limn: Processes, fal: Simulator, submit_many: SubmitMany
) -> None:
    web, attempts, begun = Web(port=free_port(), fal=fal), submit_many(20), Event()
    old = serve(limn, web.port)

    def role(number: int) -> list[int]:
        if number == 0:
            begun.wait()
            old.end()
            serve(limn, web.port)
            return []
        begun.set()
        mine = attempts[number - 1 :: 4]
        return [status for attempt in mine for status in insistent(partial(web.deliver, attempt))]

    heard = [status for statuses in at_once(5, role) for status in statuses]

    assert heard == [200] * 20
    assert ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.APPLIED).count() == 20


def test_f13_health_is_red_two_minutes_after_the_reconciler_stopped(limn: Processes, client: Client) -> None:
    worker = limn("work")
    until(lambda: client.get("/health/ready").status_code == 200, what="a worker")
    worker.kill()

    Heartbeat.objects.update(seen_at=F("seen_at") - timedelta(minutes=2))

    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["parts"]["reconciler"]) == (503, "silent")
