"""A deploy loses no callback and causes no 5xx, and the readiness check names a stopped worker.

Case ids: docs/failure-modes.md.
"""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest
import requests
from django.db.models import F
from django.test import Client

from config.management.ports import free_port
from generations.models import Heartbeat, ProviderCallback, Submission
from generations.workers import callback_inbox
from simulator import Simulator
from tests.fixtures.callbacks import SubmitMany, submit_many
from tests.helpers.threads import at_once
from tests.helpers.web_server import Web, serve
from tests.services.processes import Processes
from tests.services.waiting import until

__all__ = ["submit_many"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


def deliver_until_accepted(web: Web, submission: Submission) -> list[int]:
    """Repeats a callback until the answer is 200, as fal does. Returns the status of each answer.

    A refused connection is no answer: it is repeated, and not in the result.
    """
    statuses: list[int] = []

    def is_accepted() -> bool:
        try:
            statuses.append(web.deliver(submission))
        except requests.ConnectionError:
            return False
        return statuses[-1] == 200

    until(is_accepted, what="a server")
    return statuses


def test_j12_a_restart_under_load_loses_no_callback_and_causes_no_5xx(
    limn: Processes, fal: Simulator, submit_many: SubmitMany
) -> None:
    web, submissions, sending = Web(port=free_port(), fal=fal), submit_many(20), Event()
    old = serve(limn, web.port)

    def act(number: int) -> list[int]:
        # The first thread restarts the server while the other four send callbacks.
        if number == 0:
            sending.wait()
            old.end()
            serve(limn, web.port)
            return []
        sending.set()
        share = submissions[number - 1 :: 4]
        return [status for submission in share for status in deliver_until_accepted(web, submission)]

    statuses = [status for of_thread in at_once(5, act) for status in of_thread]

    assert statuses == [200] * 20
    assert callback_inbox.run_once(limit=100) == 20
    assert ProviderCallback.objects.filter(outcome=ProviderCallback.Outcome.APPLIED).count() == 20


def test_f13_readiness_fails_two_minutes_after_the_reconciler_stopped(limn: Processes, client: Client) -> None:
    worker = limn("work")
    until(lambda: client.get("/health/ready").status_code == 200, what="a worker")
    worker.kill()

    Heartbeat.objects.update(seen_at=F("seen_at") - timedelta(minutes=2))

    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["parts"]["reconciler"]) == (503, "silent")
