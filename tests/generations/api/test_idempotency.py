"""Idempotency-Key: a request that is sent twice places one order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credits.audit import audit
from generations.models import Generation
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS, PlaceOrder, key_of
from tests.helpers.threads import at_once


@pytest.mark.django_db
class TestOneClient:
    def test_a_repeated_request_returns_the_same_generation(self, api: APIClient, patient_fal: Simulator) -> None:
        first = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        second = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        assert (second.status_code, second["Idempotent-Replayed"]) == (200, "true")
        assert second.json()["id"] == first.json()["id"]
        assert second.json()["idempotency_key"] == "one"
        assert len(patient_fal.log.accepted()) == 1

    def test_the_order_of_members_in_the_body_does_not_matter(self, api: APIClient, patient_fal: Simulator) -> None:
        first = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})
        reordered = dict(reversed(CAT.items()))

        assert api.post(GENERATIONS, reordered, headers={"Idempotency-Key": "one"}).json()["id"] == first.json()["id"]

    @pytest.mark.parametrize(
        "other", [{"max_credits": 9}, {"input": {"prompt": "a dog"}}, {"model": "dall-e"}, {"input": {}}]
    )
    def test_the_same_key_with_another_body_is_refused(
        self, api: APIClient, patient_fal: Simulator, other: dict[str, Any]
    ) -> None:
        api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        response = api.post(GENERATIONS, {**CAT, **other}, headers={"Idempotency-Key": "one"})

        assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")
        assert Generation.objects.count() == 1

    def test_a_repeated_request_needs_no_credits(
        self, api: APIClient, patient_fal: Simulator, order: PlaceOrder
    ) -> None:
        first = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})
        order("veo3.1-fast", resolution="720p", duration="6s")

        assert api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"}).json()["id"] == first.json()["id"]

    def test_a10_another_customer_may_use_the_same_key(self, api: APIClient, bob: User, patient_fal: Simulator) -> None:
        first = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        second = key_of(bob).post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        assert second.status_code == 202
        assert second.json()["id"] != first.json()["id"]

    def test_another_key_places_another_order(self, api: APIClient, patient_fal: Simulator) -> None:
        first, second = (api.post(GENERATIONS, CAT, headers={"Idempotency-Key": key}) for key in ("one", "two"))

        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["id"] != second.json()["id"]

    def test_an_invalid_key_is_refused(self, api: APIClient) -> None:
        for key in ("", "x" * 256, "tab\there", "schlüssel"):
            response = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": key})

            assert (response.status_code, response.json()["code"]) == (400, "malformed"), key

    def test_a_repeated_retry_returns_the_same_generation(
        self, api: APIClient, failed: PlaceOrder, patient_fal: Simulator
    ) -> None:
        url = f"{GENERATIONS}{failed().pk}/retry/"
        first = api.post(url, headers={"Idempotency-Key": "retry"})

        second = api.post(url, headers={"Idempotency-Key": "retry"})

        assert (first.status_code, second.status_code) == (202, 200)
        assert second.json()["id"] == first.json()["id"]


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestConcurrentClients:
    # Not more, because they wait for each other, and a request waits three seconds for a lock.
    CLIENTS = 6

    def test_one_of_many_requests_with_the_same_key_places_an_order(self, alice: User, patient_fal: Simulator) -> None:
        responses = self._post_concurrently(key_of(alice), lambda number: "one")

        assert sorted(response.status_code for response in responses) == [200] * (self.CLIENTS - 1) + [202]
        assert len({response.json()["id"] for response in responses}) == 1
        assert len(patient_fal.log.accepted()) == 1
        assert audit().clean

    def test_requests_with_different_keys_each_place_an_order(self, alice: User, patient_fal: Simulator) -> None:
        """The negative control: the key is what made them one order."""
        responses = self._post_concurrently(key_of(alice), lambda number: f"key {number}")

        assert {response.status_code for response in responses} == {202}
        assert Generation.objects.count() == self.CLIENTS

    def test_concurrent_orders_never_cost_more_than_the_balance(
        self, alice: User, customer, patient_fal: Simulator
    ) -> None:
        poor = customer("poor", credits=3 * 2)

        responses = self._post_concurrently(key_of(poor), lambda number: f"key {number}")

        assert sorted(response.status_code for response in responses) == [202] * 2 + [402] * (self.CLIENTS - 2)
        assert audit().clean

    def _post_concurrently(self, api: APIClient, key: Callable[[int], str]) -> list[Any]:
        return at_once(
            self.CLIENTS, lambda number: api.post(GENERATIONS, CAT, headers={"Idempotency-Key": key(number)})
        )
