"""Idempotency-Key: a request that is sent again is not an order more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.test import APIClient

from credits.audit import audit
from generations.models import Generation
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS, Ordering, key_of
from tests.services.waiting import HANG_SECONDS


@pytest.mark.django_db
class TestOneCaller:
    def test_the_same_again_is_the_same_generation(self, api: APIClient, patient_fal: Simulator) -> None:
        first = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        again = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
        assert again.json()["id"] == first.json()["id"]
        assert again.json()["idempotency_key"] == "one"
        assert len(patient_fal.log.accepted()) == 1

    def test_the_order_of_keys_in_a_body_means_nothing(self, api: APIClient, patient_fal: Simulator) -> None:
        first = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})
        turned = dict(reversed(CAT.items()))

        assert api.post(GENERATIONS, turned, headers={"Idempotency-Key": "one"}).json()["id"] == first.json()["id"]

    @pytest.mark.parametrize(
        "other", [{"max_credits": 9}, {"input": {"prompt": "a dog"}}, {"model": "dall-e"}, {"input": {}}]
    )
    def test_another_wish_under_the_same_key_is_refused(
        self, api: APIClient, patient_fal: Simulator, other: dict[str, Any]
    ) -> None:
        api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        response = api.post(GENERATIONS, {**CAT, **other}, headers={"Idempotency-Key": "one"})

        assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")
        assert Generation.objects.count() == 1

    def test_the_answer_stays_when_the_money_is_gone(
        self, api: APIClient, patient_fal: Simulator, order: Ordering
    ) -> None:
        first = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})
        order("veo3.1-fast", resolution="720p", duration="6s")

        assert api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"}).json()["id"] == first.json()["id"]

    def test_a10_bob_may_use_the_same_key(self, api: APIClient, bob: User, patient_fal: Simulator) -> None:
        first = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        his = key_of(bob).post(GENERATIONS, CAT, headers={"Idempotency-Key": "one"})

        assert his.status_code == 202
        assert his.json()["id"] != first.json()["id"]

    def test_under_another_key_it_is_another_order(self, api: APIClient, patient_fal: Simulator) -> None:
        first, second = (api.post(GENERATIONS, CAT, headers={"Idempotency-Key": key}) for key in ("one", "two"))

        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["id"] != second.json()["id"]

    @pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "schlüssel"])
    def test_a_key_that_is_none_is_refused(self, api: APIClient, key: str) -> None:
        response = api.post(GENERATIONS, CAT, headers={"Idempotency-Key": key})

        assert (response.status_code, response.json()["code"]) == (400, "malformed")

    def test_a_retry_is_not_repeated_by_its_key_either(
        self, api: APIClient, completed: Ordering, patient_fal: Simulator
    ) -> None:
        address = f"{GENERATIONS}{completed().pk}/retry/"
        first = api.post(address, headers={"Idempotency-Key": "again"})

        again = api.post(address, headers={"Idempotency-Key": "again"})

        assert (first.status_code, again.status_code) == (202, 200)
        assert again.json()["id"] == first.json()["id"]


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestManyAtOnce:
    CALLERS = 12

    def test_of_many_with_one_key_one_orders(self, alice: User, patient_fal: Simulator) -> None:
        responses = self._at_once(key_of(alice), lambda number: "one")

        assert sorted(response.status_code for response in responses) == [200] * (self.CALLERS - 1) + [202]
        assert len({response.json()["id"] for response in responses}) == 1
        assert len(patient_fal.log.accepted()) == 1
        assert audit().clean

    def test_without_one_key_each_orders(self, alice: User, patient_fal: Simulator) -> None:
        """The control: it is the key that made them one."""
        responses = self._at_once(key_of(alice), lambda number: f"key {number}")

        assert {response.status_code for response in responses} == {202}
        assert Generation.objects.count() == self.CALLERS

    def test_of_many_only_as_many_order_as_can_be_paid(self, alice: User, customer, patient_fal: Simulator) -> None:
        poor = customer("poor", credits=3 * 5)

        responses = self._at_once(key_of(poor), lambda number: f"key {number}")

        assert sorted(response.status_code for response in responses) == [202] * 5 + [402] * (self.CALLERS - 5)
        assert audit().clean

    def _at_once(self, api: APIClient, key: Any) -> list[Any]:
        barrier = Barrier(self.CALLERS)

        def call(number: int) -> Any:
            barrier.wait(HANG_SECONDS)
            try:
                return api.post(GENERATIONS, CAT, headers={"Idempotency-Key": key(number)})
            finally:
                connection.close()

        with ThreadPoolExecutor(self.CALLERS) as threads:
            return list(threads.map(call, range(self.CALLERS)))
