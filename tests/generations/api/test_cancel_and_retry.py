"""Cancelling, and trying again."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credits.models import Account
from generations import lifecycle
from generations.models import Generation
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, Ordering

pytestmark = pytest.mark.django_db


def cancel(api: APIClient, generation: Generation):
    return api.post(f"{GENERATIONS}{generation.pk}/cancel/")


def retry(api: APIClient, generation: Generation, body: dict | None = None):
    return api.post(f"{GENERATIONS}{generation.pk}/retry/", body or {})


def test_what_fal_does_not_have_is_released_at_once(api: APIClient, alice: User, order: Ordering) -> None:
    response = cancel(api, order())

    assert response.status_code == 200
    assert (response.json()["status"], response.json()["error"]["code"]) == ("failed", "cancelled")
    assert Account.objects.for_user(alice).held == 0


def test_what_fal_has_is_fals_to_decide(api: APIClient, alice: User, running: Ordering) -> None:
    generation = running()

    response = cancel(api, generation)

    assert response.status_code == 202
    assert response.json()["status"] == "processing"
    assert Account.objects.for_user(alice).held == 3
    assert generation.events.filter(fact="cancel_asked", actor="user:alice").count() == 1


def test_the_reconciler_is_nudged_to_ask_fal(api: APIClient, running: Ordering) -> None:
    generation = running()

    cancel(api, generation)

    assert generation in Generation.objects.to_reconcile()


def test_asked_again_the_answer_is_the_same(api: APIClient, order: Ordering, running: Ordering) -> None:
    queued, taken = order(), running()

    answers = [[cancel(api, generation).status_code for _ in range(2)] for generation in (queued, taken)]

    assert answers == [[200, 200], [202, 202]]


@pytest.mark.parametrize("state", ["storing", "completed", "failed"])
def test_what_has_ended_or_nearly_so_cannot_be_stopped(
    api: APIClient, request: pytest.FixtureRequest, state: str
) -> None:
    generation = request.getfixturevalue(state)()

    response = cancel(api, generation)

    assert (response.status_code, response.json()["code"]) == (409, "already_finished")


def test_a_retry_is_a_generation_of_its_own(api: APIClient, failed: Ordering, patient_fal: Simulator) -> None:
    earlier = failed(metadata={"project": "moon"})

    response = retry(api, earlier)

    body = response.json()
    assert response.status_code == 202
    assert body["id"] != str(earlier.pk) == body["retry_of"]
    assert (body["input"], body["metadata"]) == (earlier.input, {"project": "moon"})
    assert body["credits"]["held"] == 3


def test_what_completed_may_be_made_once_more(api: APIClient, completed: Ordering, patient_fal: Simulator) -> None:
    assert retry(api, completed()).status_code == 202


def test_what_is_under_way_is_not_tried_again(api: APIClient, running: Ordering) -> None:
    response = retry(api, running())

    assert (response.status_code, response.json()["code"]) == (409, "not_finished")


def test_a_retry_costs_no_more_than_allowed(api: APIClient, failed: Ordering) -> None:
    response = retry(api, failed(), {"max_credits": 2})

    assert (response.status_code, response.json()["code"]) == (402, "max_credits_exceeded")


def test_a_model_that_is_gone_cannot_be_ordered_again(api: APIClient, failed: Ordering) -> None:
    generation = failed()
    Generation.objects.filter(pk=generation.pk).update(model="retired-1")

    assert retry(api, generation).json()["code"] == "model_not_found"


def test_inputs_that_the_model_no_longer_takes_are_told(api: APIClient, failed: Ordering) -> None:
    generation = failed()
    Generation.objects.filter(pk=generation.pk).update(input={"prompt": "a cat", "lora": "old"})

    response = retry(api, generation)

    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["input", "lora"]


def test_a_retry_takes_no_other_wishes(api: APIClient, failed: Ordering) -> None:
    assert retry(api, failed(), {"input": {"prompt": "a dog"}}).status_code == 422


def test_a_verdict_of_fal_after_the_question_stands(api: APIClient, running: Ordering) -> None:
    generation = running()
    cancel(api, generation)

    lifecycle.cancelled(generation)

    assert cancel(api, generation).status_code == 200
