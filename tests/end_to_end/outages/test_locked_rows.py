"""While a row is locked or no database connection is free, requests are answered 503 and no callback is lost.

The lock is held until the answer arrives, so an answer proves that the wait is limited.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from credits.models import Account
from generations.models import Generation, Phase, ProviderCallback, Submission
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.database_guards import locked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.only_postgresql]


@pytest.fixture
def received(callbacks: CallbackSender, submitted: Submission) -> Submission:
    """A submission whose callback is stored but not applied, because the row of the generation was locked."""
    with locked(submitted.generation):
        assert callbacks.send(submitted) == 200
    return submitted


def outcome() -> str:
    """The outcome of the only callback."""
    return str(ProviderCallback.objects.get().outcome)


def test_b34_a_callback_is_stored_while_the_row_of_its_generation_is_locked(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    with locked(submitted.generation):
        answer = callbacks.send(submitted)

        assert (answer, outcome()) == (200, ProviderCallback.Outcome.RECEIVED)


def test_b34_a_stored_callback_is_applied_at_the_next_delivery(callbacks: CallbackSender, received: Submission) -> None:
    assert callbacks.send(received) == 200

    assert outcome() == ProviderCallback.Outcome.APPLIED
    assert received.generation.outputs.count() == 1


def test_b34_a_stored_callback_is_applied_even_if_fal_does_not_repeat_it(received: Submission, work: Work) -> None:
    """The status API of fal answers IN_PROGRESS for ever, so only the stored callback contains the result."""
    work.reconcile()

    received.generation.refresh_from_db()
    assert (received.generation.phase, outcome()) == (Phase.STORING, ProviderCallback.Outcome.APPLIED)


def post(client: Client, alice: Account, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """Send a POST request as Alice. Returns the status and the Retry-After of the answer."""
    client.force_login(User.objects.get(pk=alice.user_id))
    response = client.post(path, body, content_type="application/json")
    return response.status_code, response.headers.get("Retry-After", "")


def test_an_order_does_not_wait_for_a_locked_account(client: Client, alice: Account) -> None:
    with locked(alice):
        body = {"model": "flux-schnell", "input": {"prompt": "a cat"}}
        status, retry_after = post(client, alice, "/api/v1/generations/", body)

    assert (status, retry_after) == (503, "5")
    assert Generation.objects.count() == 0


def test_a_cancellation_does_not_wait_for_a_locked_row(client: Client, alice: Account, submitted: Submission) -> None:
    with locked(submitted.generation):
        path = f"/api/v1/generations/{submitted.generation_id}/cancel/"
        status, retry_after = post(client, alice, path, {})

    assert (status, retry_after) == (503, "5")


@pytest.fixture
def one_connection() -> Iterator[None]:
    """The pool has one connection, and this thread uses it."""
    wrapper: Any = connection
    wrapper.close()
    wrapper.close_pool()
    wrapper.pool.resize(1, 1)
    wrapper.ensure_connection()
    yield
    wrapper.close()
    wrapper.close_pool()


def database_health_in_another_thread() -> str:
    """What the readiness check reports about the database."""

    def check() -> str:
        try:
            return str(Client().get("/health/ready").json()["parts"]["database"])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(check).result()


def test_e13_the_wait_for_a_connection_is_limited(one_connection: None) -> None:
    assert database_health_in_another_thread() == "away"


def test_e13_a_returned_connection_is_used_again(one_connection: None) -> None:
    connection.close()

    assert database_health_in_another_thread() == "ok"


def test_e13_one_connection_is_enough_for_a_callback(
    one_connection: None, callbacks: CallbackSender, submitted: Submission
) -> None:
    assert callbacks.send(submitted) == 200
