"""PostgreSQL behind a connection that delays everything by some milliseconds, as one in another building is.

The largest batch is accepted and cancelled, and the callbacks of its customer do not wait for it in vain. Each needs a
fixed number of statements: with one for each item, 200 round trips would be made while the account is locked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections
from rest_framework.test import APIClient

from config.management.ports import free_port
from credits import ledger
from credits.audit import audit
from credits.models import Account
from generations.api.order_requests import BATCH_MAX
from generations.jobs import failpoints
from generations.models import Generation, InputFile, Phase, ProviderCallback, Submission
from quality.chaos.proxy import Proxy
from simulator import Simulator
from tests.fixtures.batches import token_of
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.images import insert_upload
from tests.helpers.threads import at_once
from tests.services.waiting import HANG_SECONDS, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.only_postgresql]
BATCHES = "/api/v1/batches/"
CATS = {"model": "flux-schnell", "inputs": [{"prompt": f"cat {number}"} for number in range(BATCH_MAX)]}
CALLBACKS = 8


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Between this process and PostgreSQL."""
    server = connection.settings_dict
    port = int(server["PORT"])
    proxy = Proxy(free_port(), port)
    _reconnect(proxy.port)
    try:
        until(_is_connected, what="the proxy")
        yield proxy
    finally:
        _reconnect(port)
        proxy.stop()


def _reconnect(port: int) -> None:
    wrapper: Any = connection
    connections.close_all()
    wrapper.close_pool()
    wrapper.settings_dict["PORT"] = port


def _is_connected() -> bool:
    try:
        connection.ensure_connection()
    except Exception:
        return False
    return True


@pytest.fixture
def api(alice: Account, settings) -> APIClient:
    settings.USER_RUNNING_MAX = 0
    ledger.grant(alice, 1_000_000, key="rich", actor="test")
    return APIClient(headers={"Authorization": f"Token {token_of(alice)}"})


@pytest.fixture
def submissions(fal: Simulator, order: PlaceOrder, work: Work) -> list[Submission]:
    """Those whose failure fal knows and has not reported. The end of each locks the account."""
    fal.always("fail:downstream_service_error", "callback:lost")
    generations = [order(prompt=f"fox {number}") for number in range(CALLBACKS)]
    work.submit()
    return [generation.submissions.get() for generation in generations]


@pytest.mark.parametrize("milliseconds", [1, 5])
def test_a29_the_largest_batch_is_accepted_and_callbacks_are_applied_meanwhile(
    milliseconds: int,
    api: APIClient,
    submissions: list[Submission],
    callbacks: CallbackSender,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holds_the_lock = threading.Event()
    monkeypatch.setattr(failpoints, "reach", lambda name: holds_the_lock.set() if name == "created" else None)

    def send_callbacks() -> list[int]:
        assert holds_the_lock.wait(HANG_SECONDS)
        return [callbacks.send(submission) for submission in submissions]

    proxy.set_mode("delay", seconds=milliseconds / 1000)
    acts: list[Callable[[], Any]] = [lambda: api.post(BATCHES, CATS).status_code, send_callbacks]
    answers = at_once(2, lambda number: acts[number]())

    assert answers == [202, [200] * CALLBACKS]
    assert set(ProviderCallback.objects.values_list("outcome", flat=True)) == {ProviderCallback.Outcome.APPLIED}
    assert Generation.objects.filter(phase=Phase.QUEUED).count() == BATCH_MAX
    assert audit().clean


@pytest.mark.parametrize("milliseconds", [1, 5])
def test_a29_the_largest_batch_with_files_is_accepted_read_and_cancelled(
    milliseconds: int, api: APIClient, alice: Account, fal: Simulator, proxy: Proxy
) -> None:
    files = [{"upload": str(insert_upload(alice.user).pk)} for _ in range(4)]
    inputs = [{"prompt": f"cat {number}", "image_urls": files} for number in range(BATCH_MAX)]
    proxy.set_mode("delay", seconds=milliseconds / 1000)

    placed = api.post(
        BATCHES, {"model": "flux-2-edit", "inputs": inputs, "metadata": {"album": "cats"}, "notify": True}
    )

    assert (placed.status_code, InputFile.objects.count()) == (202, 4 * BATCH_MAX)
    assert api.get(placed["Location"]).status_code == 200
    cancelled = api.post(f"{placed['Location']}cancel/")
    assert (cancelled.status_code, cancelled.json()["progress"]["failed"]) == (202, BATCH_MAX)
    assert audit().clean
