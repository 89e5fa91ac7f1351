"""Batches: several wishes ordered together or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from credits.models import Account
from generations import lifecycle
from generations.models import Batch, FailureCode, Generation
from simulator import Simulator
from tests.fixtures.api import key_of
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db
BATCHES = "/api/v1/batches/"
CATS = {"model": "flux-schnell", "inputs": [{"prompt": f"cat {number}"} for number in range(3)]}


def read(api: APIClient, batch: Batch | str) -> dict[str, Any]:
    return dict(api.get(f"{BATCHES}{getattr(batch, 'pk', batch)}/").json())


def test_each_input_is_a_generation_of_its_own(api: APIClient, alice: User) -> None:
    response = api.post(BATCHES, {**CATS, "metadata": {"project": "cats"}})

    body = response.json()
    assert (response.status_code, response["Location"]) == (202, f"http://testserver{BATCHES}{body['id']}/")
    assert [each["input"]["prompt"] for each in body["generations"]] == ["cat 0", "cat 1", "cat 2"]
    assert {(each["batch"], each["metadata"]["project"]) for each in body["generations"]} == {(body["id"], "cats")}
    assert body["credits"] == {"quoted": 9, "held": 9, "captured": 0, "released": 0}
    assert Account.objects.for_user(alice).held == 9


@pytest.mark.django_db(transaction=True)
def test_it_is_made_and_its_progress_is_told(api: APIClient, fal: Simulator) -> None:
    batch = api.post(BATCHES, CATS).json()["id"]

    Work().until(lambda: read(api, batch)["status"] == "completed")

    body = read(api, batch)
    assert body["progress"] == {"total": 3, "completed": 3, "failed": 0, "percent": 100}
    assert [len(each["outputs"]) for each in body["generations"]] == [1, 1, 1]
    assert body["credits"]["captured"] == 9


def test_all_of_them_or_none(customer, alice: User) -> None:
    """Two could be paid, the third could not."""
    poor = key_of(customer("poor", credits=8))

    response = poor.post(BATCHES, CATS)

    assert (response.status_code, response.json()["needed"], response.json()["available"]) == (402, 9, 8)
    assert (Generation.objects.count(), Batch.objects.count()) == (0, 0)


def test_a_wrong_input_is_named_by_its_place(api: APIClient) -> None:
    wrong = {**CATS, "inputs": [{"prompt": "a cat"}, {"prompt": "a cat", "num_images": 9}]}

    response = api.post(BATCHES, wrong)

    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["inputs", 1, "num_images"])
    assert Generation.objects.count() == 0


@pytest.mark.parametrize("inputs", [[], [{"prompt": "a cat"}] * 201])
def test_it_has_one_to_two_hundred(api: APIClient, inputs: list[Any]) -> None:
    assert api.post(BATCHES, {**CATS, "inputs": inputs}).status_code == 422


def test_a_larger_batch_does_not_look_its_price_up_more_often(api: APIClient) -> None:
    def questions(count: int) -> int:
        wish = {**CATS, "inputs": [{"prompt": f"cat {number} of {count}"} for number in range(count)]}
        with CaptureQueriesContext(connection) as captured:
            assert api.post(BATCHES, wish).status_code == 202
        return sum("pricebookentry" in query["sql"] for query in captured)

    assert questions(2) == questions(12)


def test_max_credits_is_for_all_of_them(api: APIClient) -> None:
    response = api.post(BATCHES, {**CATS, "max_credits": 8})

    assert (response.status_code, response.json()["code"]) == (402, "max_credits_exceeded")


def test_the_same_key_is_the_same_batch(api: APIClient) -> None:
    first, again = (api.post(BATCHES, CATS, headers={"Idempotency-Key": "one"}) for _ in range(2))

    assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["id"] == first.json()["id"]
    assert Generation.objects.count() == 3


def test_the_same_key_for_another_batch_is_refused(api: APIClient) -> None:
    api.post(BATCHES, CATS, headers={"Idempotency-Key": "one"})

    response = api.post(BATCHES, {**CATS, "notify": True}, headers={"Idempotency-Key": "one"})

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")


def test_a_second_click_is_asked_about(api: APIClient) -> None:
    first, again = api.post(BATCHES, CATS), api.post(BATCHES, CATS)

    assert (again.status_code, again.json()["code"]) == (409, "duplicate_request")
    assert again.json()["earlier"] == first.json()["id"]
    assert api.post(BATCHES, {**CATS, "allow_duplicate": True}).status_code == 202


def test_cancelled_together_what_never_ran_is_free_again(api: APIClient, alice: User, batch: Batch) -> None:
    response = api.post(f"{BATCHES}{batch.pk}/cancel/")

    assert (response.status_code, response.json()["status"]) == (202, "failed")
    assert {each["credits"]["rule"] for each in response.json()["generations"]} == {"cancelled_queued"}
    assert Account.objects.for_user(alice).held == 0


def test_it_is_completed_when_one_of_it_was_made(api: APIClient, batch: Batch) -> None:
    for generation in batch.generations.all():
        lifecycle.failed(generation, lifecycle.failure(FailureCode.DEADLINE), actor="test")

    assert (read(api, batch)["status"], read(api, batch)["progress"]["failed"]) == ("failed", 2)


def test_while_it_is_unchanged_it_is_not_sent_again(api: APIClient, batch: Batch) -> None:
    first = api.get(f"{BATCHES}{batch.pk}/")
    assert first["Retry-After"]
    assert api.get(f"{BATCHES}{batch.pk}/", headers={"If-None-Match": first["ETag"]}).status_code == 304

    lifecycle.submitting(batch.generations.all()[0])

    assert api.get(f"{BATCHES}{batch.pk}/", headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_the_list_is_in_sums_and_asks_as_often_for_many(api: APIClient, batch: Batch) -> None:
    with CaptureQueriesContext(connection) as captured:
        (listed,) = api.get(BATCHES).json()["results"]

    about_it = [query for query in captured if "_batch" in query["sql"] or '_generation"' in query["sql"]]
    assert len(about_it) == 2
    assert listed["progress"] == {"total": 2, "completed": 0, "failed": 0, "percent": 0}
    assert "generations" not in listed
