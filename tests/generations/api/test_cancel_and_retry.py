"""Cancelling a generation, and retrying one."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credits.models import Account
from generations import lifecycle
from generations.models import Generation
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, PlaceOrder

pytestmark = pytest.mark.django_db


def cancel(api: APIClient, generation: Generation):
    return api.post(f"{GENERATIONS}{generation.pk}/cancel/")


def retry(api: APIClient, generation: Generation, body: dict | None = None):
    return api.post(f"{GENERATIONS}{generation.pk}/retry/", body or {})


def test_a_queued_generation_is_cancelled_and_released_at_once(api: APIClient, alice: User, order: PlaceOrder) -> None:
    response = cancel(api, order())

    assert response.status_code == 200
    assert (response.json()["status"], response.json()["error"]["code"]) == ("failed", "cancelled")
    assert Account.objects.for_user(alice).held == 0


def test_a_submitted_generation_waits_for_the_verdict_of_fal(api: APIClient, alice: User, running: PlaceOrder) -> None:
    generation = running()

    response = cancel(api, generation)

    assert response.status_code == 202
    assert response.json()["status"] == "processing"
    assert Account.objects.for_user(alice).held == 3
    assert generation.events.filter(fact="cancel_asked", actor="user:alice").count() == 1


def test_a_cancellation_makes_the_generation_due_for_the_reconciler(api: APIClient, running: PlaceOrder) -> None:
    generation = running()

    cancel(api, generation)

    assert generation in Generation.objects.to_reconcile()


def test_a_repeated_cancellation_gets_the_same_response(api: APIClient, order: PlaceOrder, running: PlaceOrder) -> None:
    queued, submitted = order(), running()

    statuses = [[cancel(api, generation).status_code for _ in range(2)] for generation in (queued, submitted)]

    assert statuses == [[200, 200], [202, 202]]


@pytest.mark.parametrize("state", ["storing", "completed", "failed"])
def test_a_generation_that_fal_has_finished_cannot_be_cancelled(
    api: APIClient, request: pytest.FixtureRequest, state: str
) -> None:
    generation = request.getfixturevalue(state)()

    response = cancel(api, generation)

    assert (response.status_code, response.json()["code"]) == (409, "already_finished")


def test_a_retry_is_a_new_generation_with_the_same_order(
    api: APIClient, failed: PlaceOrder, patient_fal: Simulator
) -> None:
    earlier = failed(metadata={"project": "moon"})

    response = retry(api, earlier)

    body = response.json()
    assert response.status_code == 202
    assert body["id"] != str(earlier.pk) == body["retry_of"]
    assert (body["input"], body["metadata"]) == (earlier.input, {"project": "moon"})
    assert body["credits"]["held"] == 3


def test_a_cancelled_generation_can_be_retried(api: APIClient, order: PlaceOrder, patient_fal: Simulator) -> None:
    """It has failed, and has cost nothing."""
    cancelled = order()
    cancel(api, cancelled)

    assert retry(api, cancelled).status_code == 202


def test_a_completed_generation_is_not_retried_but_ordered_again(
    api: APIClient, alice: User, completed: PlaceOrder, patient_fal: Simulator
) -> None:
    before = Account.objects.for_user(alice).available

    response = retry(api, completed())

    assert (response.status_code, response.json()["code"]) == (409, "already_finished")
    assert "/again/" in response.json()["detail"]
    assert (Generation.objects.count(), Account.objects.for_user(alice).available) == (1, before - 3)


def test_a_generation_in_progress_cannot_be_retried(api: APIClient, running: PlaceOrder) -> None:
    response = retry(api, running())

    assert (response.status_code, response.json()["code"]) == (409, "not_finished")


def test_a_retry_above_max_credits_is_refused(api: APIClient, failed: PlaceOrder) -> None:
    response = retry(api, failed(), {"max_credits": 2})

    assert (response.status_code, response.json()["code"]) == (402, "max_credits_exceeded")


def test_a_generation_of_a_removed_model_cannot_be_retried(api: APIClient, failed: PlaceOrder) -> None:
    generation = failed()
    Generation.objects.filter(pk=generation.pk).update(model="retired-1")

    assert retry(api, generation).json()["code"] == "model_not_found"


def test_a_retry_names_inputs_that_the_model_no_longer_accepts(api: APIClient, failed: PlaceOrder) -> None:
    generation = failed()
    Generation.objects.filter(pk=generation.pk).update(input={"prompt": "a cat", "lora": "old"})

    response = retry(api, generation)

    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["input", "lora"]


def test_a_retry_accepts_no_changed_inputs(api: APIClient, failed: PlaceOrder) -> None:
    assert retry(api, failed(), {"input": {"prompt": "a dog"}}).status_code == 422


def test_a_cancellation_after_the_verdict_of_fal_gets_200(api: APIClient, running: PlaceOrder) -> None:
    generation = running()
    cancel(api, generation)

    lifecycle.cancelled(generation)

    assert cancel(api, generation).status_code == 200
