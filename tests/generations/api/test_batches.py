"""Batches: generations that are ordered together or not at all."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from credits.models import Account
from generations import lifecycle
from generations.lifecycle import placing
from generations.models import Batch, FailureCode, Generation
from generations.ordering import quotas
from simulator import Simulator
from tests.fixtures.api import key_of
from tests.helpers.background_work import Work
from tests.helpers.threads import at_once
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db
BATCHES = "/api/v1/batches/"
CATS = {"model": "flux-schnell", "inputs": [{"prompt": f"cat {number}"} for number in range(3)]}


def read(api: APIClient, batch: Batch | str) -> dict[str, Any]:
    return dict(api.get(f"{BATCHES}{getattr(batch, 'pk', batch)}/").json())


def test_each_input_becomes_a_generation(api: APIClient, alice: User) -> None:
    response = api.post(BATCHES, {**CATS, "metadata": {"project": "cats"}})

    body = response.json()
    assert (response.status_code, response["Location"]) == (202, f"http://testserver{BATCHES}{body['id']}/")
    assert [each["input"]["prompt"] for each in body["generations"]] == ["cat 0", "cat 1", "cat 2"]
    assert {(each["batch"], each["metadata"]["project"]) for each in body["generations"]} == {(body["id"], "cats")}
    assert body["credits"] == {"quoted": 9, "held": 9, "captured": 0, "released": 0}
    assert Account.objects.for_user(alice).held == 9


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_generated_and_shows_its_progress(api: APIClient, fal: Simulator) -> None:
    batch = api.post(BATCHES, CATS).json()["id"]

    Work().until(lambda: read(api, batch)["status"] == "completed")

    body = read(api, batch)
    assert body["progress"] == {"total": 3, "completed": 3, "failed": 0, "percent": 100}
    assert [len(each["outputs"]) for each in body["generations"]] == [1, 1, 1]
    assert body["credits"]["captured"] == 9


def test_a_batch_that_the_account_cannot_afford_places_no_order(customer, alice: User) -> None:
    """The credits suffice for two of the three."""
    poor = key_of(customer("poor", credits=8))

    response = poor.post(BATCHES, CATS)

    assert (response.status_code, response.json()["needed"], response.json()["available"]) == (402, 9, 8)
    assert (Generation.objects.count(), Batch.objects.count()) == (0, 0)


def test_the_error_of_an_input_has_its_index(api: APIClient) -> None:
    wrong = {**CATS, "inputs": [{"prompt": "a cat"}, {"prompt": "a cat", "num_images": 9}]}

    response = api.post(BATCHES, wrong)

    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["inputs", 1, "num_images"])
    assert Generation.objects.count() == 0


def test_a_batch_has_1_to_200_inputs(api: APIClient) -> None:
    for count in (0, 201):
        assert api.post(BATCHES, {**CATS, "inputs": [{"prompt": "a cat"}] * count}).status_code == 422, count


def test_the_price_is_looked_up_as_often_for_a_large_batch_as_for_a_small_one(api: APIClient) -> None:
    def count_queries(count: int) -> int:
        body = {**CATS, "inputs": [{"prompt": f"cat {number} of {count}"} for number in range(count)]}
        with CaptureQueriesContext(connection) as captured:
            assert api.post(BATCHES, body).status_code == 202
        return sum("pricebookentry" in query["sql"] for query in captured)

    assert count_queries(2) == count_queries(12)


def test_max_credits_limits_the_price_of_the_whole_batch(api: APIClient) -> None:
    response = api.post(BATCHES, {**CATS, "max_credits": 8})

    assert (response.status_code, response.json()["code"]) == (402, "max_credits_exceeded")


def test_a_repeated_request_returns_the_same_batch(api: APIClient) -> None:
    first, second = (api.post(BATCHES, CATS, headers={"Idempotency-Key": "one"}) for _ in range(2))

    assert (second.status_code, second["Idempotent-Replayed"]) == (200, "true")
    assert second.json()["id"] == first.json()["id"]
    assert Generation.objects.count() == 3


def test_the_same_key_with_another_body_is_refused(api: APIClient) -> None:
    api.post(BATCHES, CATS, headers={"Idempotency-Key": "one"})

    response = api.post(BATCHES, {**CATS, "notify": True}, headers={"Idempotency-Key": "one"})

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")


def test_a_duplicate_is_refused_unless_it_is_allowed(api: APIClient) -> None:
    first, second = api.post(BATCHES, CATS), api.post(BATCHES, CATS)

    assert (second.status_code, second.json()["code"]) == (409, "duplicate_request")
    assert second.json()["earlier"] == first.json()["id"]
    assert api.post(BATCHES, {**CATS, "allow_duplicate": True}).status_code == 202


def test_a_batch_whose_generations_have_all_failed_is_no_earlier_order(api: APIClient) -> None:
    cancelled = api.post(BATCHES, CATS).json()["id"]
    api.post(f"{BATCHES}{cancelled}/cancel/")
    api.post("/api/v1/generations/", {"model": "flux-schnell", "input": {"prompt": "a cat that has not failed"}})

    assert api.post(BATCHES, CATS).status_code == 202


def test_cancelling_a_batch_releases_what_was_not_submitted(api: APIClient, alice: User, batch: Batch) -> None:
    response = api.post(f"{BATCHES}{batch.pk}/cancel/")

    assert (response.status_code, response.json()["status"]) == (202, "failed")
    assert {each["credits"]["rule"] for each in response.json()["generations"]} == {"cancelled_queued"}
    assert Account.objects.for_user(alice).held == 0


def test_a_batch_without_a_completed_generation_has_failed(api: APIClient, batch: Batch) -> None:
    for generation in batch.generations.all():
        lifecycle.failed(generation, lifecycle.failure(FailureCode.DEADLINE), actor="test")

    assert (read(api, batch)["status"], read(api, batch)["progress"]["failed"]) == ("failed", 2)


def test_an_unchanged_batch_is_not_sent_again(api: APIClient, batch: Batch) -> None:
    first = api.get(f"{BATCHES}{batch.pk}/")
    assert first["Retry-After"]
    assert api.get(f"{BATCHES}{batch.pk}/", headers={"If-None-Match": first["ETag"]}).status_code == 304

    lifecycle.submitting(batch.generations.all()[0])

    assert api.get(f"{BATCHES}{batch.pk}/", headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_the_list_shows_totals_in_a_fixed_number_of_queries(api: APIClient, batch: Batch) -> None:
    with CaptureQueriesContext(connection) as captured:
        (listed,) = api.get(BATCHES).json()["results"]

    queries = [query for query in captured if "_batch" in query["sql"] or '_generation"' in query["sql"]]
    assert len(queries) == 2
    assert listed["progress"] == {"total": 2, "completed": 0, "failed": 0, "percent": 0}
    assert "generations" not in listed


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestConcurrentRequests:
    """A client library that repeats a POST, or two clicks."""

    COUNT = 8

    def test_one_of_many_is_accepted_and_the_others_name_it(self, alice: User) -> None:
        api = key_of(alice)

        responses = at_once(self.COUNT, lambda number: api.post(BATCHES, CATS))

        placed = Batch.objects.get()
        assert sorted(response.status_code for response in responses) == [202] + [409] * (self.COUNT - 1)
        assert {response.json().get("earlier", str(placed.pk)) for response in responses} == {str(placed.pk)}
        assert Generation.objects.count() == 3

    def test_with_one_key_all_get_the_same_batch(self, alice: User) -> None:
        api = key_of(alice)

        responses = at_once(self.COUNT, lambda number: api.post(BATCHES, CATS, headers={"Idempotency-Key": "one"}))

        assert sorted(response.status_code for response in responses) == [200] * (self.COUNT - 1) + [202]
        assert {response.json()["id"] for response in responses} == {str(Batch.objects.get().pk)}

    def test_without_the_lock_on_the_account_several_are_accepted(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Negative control: neither batch is written before both have looked for the other."""
        api, both_have_looked = key_of(alice), threading.Barrier(2)
        monkeypatch.setattr(placing, "lock_account", lambda account: account)
        monkeypatch.setattr(quotas, "check", lambda *_, **__: both_have_looked.wait(HANG_SECONDS))

        responses = at_once(2, lambda number: api.post(BATCHES, CATS))

        assert [response.status_code for response in responses] == [202, 202]
