"""While a row is locked, or no connection is free, callers are answered 503, and nothing is lost.

The lock is held until the answer has come, so an answer is proof that the wait is limited.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from credits.models import Account
from generations.models import Generation, Phase, ProviderCallback, Submission
from tests.helpers.background_work import Work
from tests.helpers.callback_sender import Courier
from tests.helpers.database_guards import locked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.only_postgresql]


@pytest.fixture
def kept(courier: Courier, submitted: Submission) -> Submission:
    """Its callback is in the inbox and nobody has told it: the generation's row was locked."""
    with locked(submitted.generation):
        assert courier.deliver(submitted) == 503
    return submitted


def outcome() -> str:
    return str(ProviderCallback.objects.get().outcome)


def test_b34_the_inbox_does_not_wait_for_the_generations_row(courier: Courier, submitted: Submission) -> None:
    with locked(submitted.generation):
        answer = courier.deliver(submitted)

        assert (answer, outcome()) == (503, ProviderCallback.Outcome.RECEIVED)


def test_b34_what_the_inbox_kept_is_told_at_the_next_delivery(courier: Courier, kept: Submission) -> None:
    assert courier.deliver(kept) == 200

    assert outcome() == ProviderCallback.Outcome.APPLIED
    assert kept.generation.outputs.count() == 1


def test_b34_what_the_inbox_kept_is_told_even_if_fal_never_comes_again(kept: Submission, work: Work) -> None:
    """fal itself says IN_PROGRESS for ever; only our own inbox knows."""
    work.ask_fal()

    kept.generation.refresh_from_db()
    assert (kept.generation.phase, outcome()) == (Phase.STORING, ProviderCallback.Outcome.APPLIED)


def post(client: Client, alice: Account, address: str, body: dict[str, Any]) -> tuple[int, str]:
    client.force_login(User.objects.get(pk=alice.user_id))
    response = client.post(address, body, content_type="application/json")
    return response.status_code, response.headers.get("Retry-After", "")


def test_an_order_does_not_wait_for_a_locked_account(client: Client, alice: Account) -> None:
    with locked(alice):
        body = {"model": "flux-schnell", "input": {"prompt": "a cat"}}
        status, retry_after = post(client, alice, "/api/v1/generations/", body)

    assert (status, retry_after) == (503, "5")
    assert Generation.objects.count() == 0


def test_a_cancellation_does_not_wait_for_a_locked_row(client: Client, alice: Account, submitted: Submission) -> None:
    with locked(submitted.generation):
        address = f"/api/v1/generations/{submitted.generation_id}/cancel/"
        status, retry_after = post(client, alice, address, {})

    assert (status, retry_after) == (503, "5")


@pytest.fixture
def one_connection() -> Iterator[None]:
    """The pool has but one, and this thread has it."""
    wrapper: Any = connection
    wrapper.close()
    wrapper.close_pool()
    wrapper.pool.resize(1, 1)
    wrapper.ensure_connection()
    yield
    wrapper.close()
    wrapper.close_pool()


def health_in_a_thread() -> str:
    said: list[str] = []

    def ask() -> None:
        said.append(Client().get("/health/ready").json()["parts"]["database"])
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return said[0]


def test_e13_with_all_connections_taken_the_wait_is_bounded(one_connection: None) -> None:
    assert health_in_a_thread() == "away"


def test_e13_a_connection_given_back_serves_the_next(one_connection: None) -> None:
    connection.close()

    assert health_in_a_thread() == "ok"


def test_e13_one_connection_is_enough_for_a_callback(
    one_connection: None, courier: Courier, submitted: Submission
) -> None:
    assert courier.deliver(submitted) == 200
