"""POST /generations/: an order is accepted, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from psycopg.errors import DeadlockDetected
from rest_framework.test import APIClient

from credits.models import Hold
from generations.models import Generation
from generations.provider import circuit_breaker
from generations.workers import submitter
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS, PlaceOrder
from tests.helpers.images import insert_upload

pytestmark = pytest.mark.django_db


def test_an_order_is_accepted_and_submitted_at_once(api: APIClient, patient_fal: Simulator) -> None:
    response = api.post(GENERATIONS, CAT)

    assert response.status_code == 202
    assert response["Location"] == response.json()["urls"]["self"]
    assert int(response["Retry-After"]) == 1
    assert (response.json()["status"], response.json()["phase"]) == ("processing", "waiting")
    assert response.json()["fal_request_id"] == patient_fal.log.accepted()[0].request_id


def test_the_price_of_an_order_is_held(api: APIClient, patient_fal: Simulator) -> None:
    body = api.post(GENERATIONS, CAT).json()

    assert body["credits"] == {"quoted": 3, "held": 3, "captured": 0, "released": 0, "rule": None, "why": None}
    assert api.get("/api/v1/credits/").json() == {"balance": 1000, "held": 3, "available": 997}


@pytest.mark.django_db(transaction=True)
def test_an_order_whose_receipt_is_recorded_at_the_second_attempt_is_answered(
    api: APIClient, patient_fal: Simulator
) -> None:
    """The second attempt reads the generation again, without what is shown beside its row."""
    ended = False

    def end_once(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        nonlocal ended
        if patient_fal.log.accepted() and "UPDATE" in sql and not ended:
            ended = True
            raise OperationalError("deadlock detected") from DeadlockDetected()
        return execute(sql, *rest)

    with connection.execute_wrapper(end_once):
        response = api.post(GENERATIONS, CAT)

    assert (ended, response.status_code) == (True, 202)
    assert response.json()["fal_request_id"] == patient_fal.log.accepted()[0].request_id


def test_an_order_is_accepted_while_fal_is_unavailable(api: APIClient, fal: Simulator) -> None:
    fal.always("status:503")

    response = api.post(GENERATIONS, CAT)

    assert response.status_code == 202
    assert response.json()["status"] == "pending"


@pytest.mark.django_db(transaction=True)
def test_a20_only_the_first_order_waits_for_a_slow_fal(
    api: APIClient, fal: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitter, "SLOW_SECONDS", 0.2)
    fal.script("slow_accept:50", "hold")
    fal.always("hold")

    responses = [api.post(GENERATIONS, {**CAT, "allow_duplicate": True}).json() for _ in range(4)]

    assert [response["status"] for response in responses] == ["processing", "pending", "pending", "pending"]
    assert len(fal.log.posts()) == 1
    assert submitter.run_once(limit=10) == 3


def test_while_the_circuit_breaker_is_open_an_order_is_refused_and_nothing_held(
    api: APIClient, patient_fal: Simulator
) -> None:
    circuit_breaker.trip("Exhausted balance")

    response = api.post(GENERATIONS, CAT)

    assert (response.status_code, response.json()["code"]) == (503, "provider_unfunded")
    assert response["Retry-After"] == "30"
    assert "balance" not in response.json()["detail"]
    assert not Hold.objects.exists()


def test_an_order_that_fal_refuses_has_failed_in_the_response(api: APIClient, fal: Simulator) -> None:
    fal.always("status:422")

    body = api.post(GENERATIONS, CAT).json()

    assert body["status"] == "failed"
    assert body["error"]["code"] == "invalid_input"
    assert (body["error"]["charged"], body["error"]["refunded"]) == (0, 3)


def test_metadata_is_returned_unchanged(api: APIClient, patient_fal: Simulator) -> None:
    metadata = {"project": "müll & söhne", "ref.no": "0042"}

    body = api.post(GENERATIONS, {**CAT, "metadata": metadata}).json()

    assert api.get(body["urls"]["self"]).json()["metadata"] == metadata


def test_a_preset_sets_inputs_that_the_order_leaves_out(api: APIClient, alice: User, patient_fal: Simulator) -> None:
    order = {"model": "tripo-v2.5", "preset": "draft", "input": {"image_url": {"upload": str(insert_upload(alice).pk)}}}

    body = api.post(GENERATIONS, order).json()

    assert body["credits"]["quoted"] == 200
    assert body["input"] == order["input"]


MISFITS: list[tuple[dict[str, object], list[str]]] = [
    ({"input": {"prompt": "a cat"}}, ["model"]),
    ({"model": "flux-schnell"}, ["input"]),
    ({"model": "flux-schnell", "input": "a cat"}, ["input"]),
    ({"model": "flux-schnell", "input": {}}, ["input", "prompt"]),
    ({"model": "flux-schnell", "input": {"prompt": "a cat", "sync_mode": True}}, ["input", "sync_mode"]),
    ({"model": "flux-schnell", "input": {"prompt": "a cat", "num_images": "2"}}, ["input", "num_images"]),
    ({"model": "flux-schnell", "input": {"prompt": "a cat", "num_images": 2.0}}, ["input", "num_images"]),
    ({**CAT, "preset": "draft"}, ["preset"]),
    ({**CAT, "user": "bob"}, ["user"]),
    ({**CAT, "credits": 0}, ["credits"]),
    ({**CAT, "status": "completed"}, ["status"]),
    ({**CAT, "max_credits": "3"}, ["max_credits"]),
    ({**CAT, "max_credits": -1}, ["max_credits"]),
    ({**CAT, "max_credits": True}, ["max_credits"]),
    ({**CAT, "metadata": {"a": 1}}, ["metadata", "a"]),
    ({**CAT, "metadata": {"a": "x" * 501}}, ["metadata", "a"]),
    ({**CAT, "metadata": {"1": "a number"}}, ["metadata", "1", "[key]"]),
    ({**CAT, "metadata": {f"k{n}": "" for n in range(21)}}, ["metadata"]),
]
"""Orders that do not fit, and the location that the error has to name."""


def test_g3_an_order_that_does_not_fit_is_refused_with_the_location(api: APIClient) -> None:
    for order, location in MISFITS:
        response = api.post(GENERATIONS, order)

        assert (response.status_code, response.json()["code"]) == (422, "invalid_input"), order
        assert location in [error["loc"] for error in response.json()["errors"]], order
    assert not Generation.objects.exists()


def test_an_unknown_model_is_not_found(api: APIClient) -> None:
    response = api.post(GENERATIONS, {**CAT, "model": "dall-e"})

    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")


def test_an_order_that_the_account_cannot_afford_is_refused_with_both_amounts(
    api: APIClient, order: PlaceOrder
) -> None:
    response = api.post(GENERATIONS, {"model": "veo3.1-fast", "input": {"prompt": "waves"}})

    assert (response.status_code, response.json()["code"]) == (402, "insufficient_credits")
    assert (response.json()["needed"], response.json()["available"]) == (1200, 1000)
    assert not Generation.objects.exists()
    assert not Hold.objects.exists()


def test_an_order_above_max_credits_is_refused(api: APIClient, alice: User) -> None:
    response = api.post(GENERATIONS, {**CAT, "max_credits": 2})

    assert (response.status_code, response.json()["code"]) == (402, "max_credits_exceeded")
    assert response.json()["needed"] == 3
    assert not Generation.objects.exists()


def test_an_order_of_exactly_max_credits_is_accepted(api: APIClient, patient_fal: Simulator) -> None:
    assert api.post(GENERATIONS, {**CAT, "max_credits": 3}).status_code == 202


def test_a_prompt_in_any_script_is_returned_unchanged(api: APIClient, patient_fal: Simulator) -> None:
    prompt = "猫 на луне 🐈‍⬛ \u202eright to left\u202c " + "e\u0301" * 50

    body = api.post(GENERATIONS, {"model": "flux-schnell", "input": {"prompt": prompt}}).json()

    assert api.get(body["urls"]["self"]).json()["input"] == {"prompt": prompt}
