"""SQLite has one writer at a time. Requests wait for their turn, and are answered 503 if it does not come."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from accounts import api_keys
from credits.audit import audit
from credits.models import Account
from database import timeouts
from database.sqlite.write_queue import WriteQueue, queue_of
from generations.models import Generation, Status
from generations.workers import copier
from simulator import Simulator
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.threads import at_once
from tests.services.processes import Processes
from tests.services.waiting import HANG_SECONDS, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


class Orders:
    """Sends orders of Alice."""

    def __init__(self, site: str, key: str) -> None:
        self._site, self._headers = site, {"Authorization": f"Bearer {key}"}

    def send(self) -> requests.Response:
        body = {"model": "flux-schnell", "input": {"prompt": "a cat"}, "allow_duplicate": True}
        with requests.Session() as session:
            session.trust_env = False
            url = f"{self._site}/api/v1/generations/"
            return session.post(url, json=body, headers=self._headers, timeout=HANG_SECONDS)


@pytest.fixture
def orders(live_limn: LiveServer, fal: Simulator, alice: Account) -> Orders:
    return Orders(live_limn.url, api_keys.issue(User.objects.get(pk=alice.user_id), "test").plain)


@pytest.fixture
def writer(orders: Orders) -> Iterator[sqlite3.Connection]:
    """Another connection in a write transaction that does not end."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def queue() -> WriteQueue:
    return queue_of(str(connection.settings_dict["NAME"]))


def test_an_order_waits_for_another_write_transaction(orders: Orders, writer: sqlite3.Connection) -> None:
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(orders.send)
        until(lambda: len(queue()) == 1, what="a request that writes")
        writer.rollback()

        assert answer.result().status_code == 202


def test_an_order_whose_turn_does_not_come_is_answered_503(
    orders: Orders, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: the wait is what the others depend on."""
    monkeypatch.setattr(timeouts, "SQLITE_REQUEST_SECONDS_MAX", 0.1)

    answer = orders.send()

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert Generation.objects.count() == 0


def test_forty_orders_of_eight_clients_are_accepted_while_a_worker_writes(orders: Orders, limn: Processes) -> None:
    limn("work")

    statuses = at_once(8, lambda _: Counter(orders.send().status_code for _ in range(5)))

    assert sum(statuses, Counter()) == {202: 40}
    completed = Generation.objects.filter(status=Status.COMPLETED)
    until(lambda: completed.count() == 40, what="the end of all generations")
    assert audit().clean


def test_a_job_takes_six_write_transactions(orders: Orders, fal: Simulator, callbacks: CallbackSender) -> None:
    """The order, fal's receipt, the callback, its effect, the lease of the output, and the stored file."""
    fal.always("callback:lost")
    orders.send()  # It also takes tokens of the rate limit, for the next orders.
    before = queue().turns

    assert orders.send().status_code == 202
    submission = Generation.objects.latest("created_at").submissions.get()
    assert callbacks.send(submission) == 200
    copier.run_once(limit=1)

    assert Generation.objects.latest("created_at").status == Status.COMPLETED
    assert queue().turns - before == 6
