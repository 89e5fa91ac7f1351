"""The same wish twice: asked about, or answered with the earlier result when that is wanted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.test import APIClient

from credits.models import Account
from generations import lifecycle
from generations.lifecycle import placing
from generations.models import FailureCode, Generation, Output
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS, Ordering, key_of
from tests.services.waiting import HANG_SECONDS

SEEDED = {"model": "flux-schnell", "input": {"prompt": "a cat", "seed": 7}, "reuse": True}


@pytest.mark.django_db
class TestDuplicates:
    def test_the_same_again_is_asked_about_and_charges_nothing(
        self, api: APIClient, alice: User, patient_fal: Simulator
    ) -> None:
        first, again = api.post(GENERATIONS, CAT), api.post(GENERATIONS, CAT)

        assert (again.status_code, again.json()["code"]) == (409, "duplicate_request")
        assert again.json()["earlier"] == first.json()["id"]
        assert Account.objects.for_user(alice).held == 3

    def test_who_means_it_says_so(self, api: APIClient, patient_fal: Simulator) -> None:
        api.post(GENERATIONS, CAT)

        assert api.post(GENERATIONS, {**CAT, "allow_duplicate": True}).status_code == 202

    def test_a11_without_a_key_minutes_later_it_is_another_order(self, api: APIClient, patient_fal: Simulator) -> None:
        api.post(GENERATIONS, CAT)
        Generation.objects.update(created_at=Generation.objects.get().created_at - placing.DUPLICATE_WITHIN)

        assert api.post(GENERATIONS, CAT).status_code == 202

    def test_what_failed_may_be_ordered_again_at_once(self, api: APIClient, patient_fal: Simulator) -> None:
        api.post(GENERATIONS, CAT)
        lifecycle.failed(Generation.objects.get(), lifecycle.failure(FailureCode.PROVIDER_ERROR), actor="test")

        assert api.post(GENERATIONS, CAT).status_code == 202

    def test_a_default_spelled_out_is_the_same_wish(self, api: APIClient, patient_fal: Simulator) -> None:
        api.post(GENERATIONS, CAT)
        spelled = {**CAT, "input": {**CAT["input"], "num_images": 1}}  # type: ignore[dict-item]

        assert api.post(GENERATIONS, spelled).status_code == 409

    def test_another_customer_may_wish_the_same(self, api: APIClient, bob: User, patient_fal: Simulator) -> None:
        api.post(GENERATIONS, CAT)

        assert key_of(bob).post(GENERATIONS, CAT).status_code == 202


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestManyClicksAtOnce:
    def test_of_many_one_orders(self, alice: User, patient_fal: Simulator) -> None:
        assert sorted(self._at_once(key_of(alice))) == [202] + [409] * 7

    def test_without_the_accounts_lock_several_do(
        self, alice: User, patient_fal: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Negative control."""
        monkeypatch.setattr(placing, "lock_account", lambda account: account)

        assert self._at_once(key_of(alice)).count(202) > 1

    def _at_once(self, api: APIClient) -> list[int]:
        barrier = Barrier(8)

        def call(_: int) -> int:
            barrier.wait(HANG_SECONDS)
            try:
                return int(api.post(GENERATIONS, CAT).status_code)
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(call, range(8)))


@pytest.mark.django_db
class TestReuse:
    def test_ones_own_earlier_result_costs_nothing(self, api: APIClient, alice: User, completed: Ordering) -> None:
        earlier, before = completed(seed=7), Account.objects.for_user(alice).balance

        response = api.post(GENERATIONS, SEEDED)

        assert (response.status_code, response["Limn-Reused"]) == (200, "true")
        assert response.json()["id"] == str(earlier.pk)
        assert (Account.objects.for_user(alice).balance, Account.objects.for_user(alice).held) == (before, 0)

    def test_it_tells_again_what_came_beside_its_files(self, api: APIClient, completed: Ordering) -> None:
        earlier = completed(seed=7)

        assert earlier.details == {"seed": 7}
        assert api.post(GENERATIONS, SEEDED).json()["details"] == {"seed": 7}

    @pytest.mark.parametrize(
        "changed",
        [{"reuse": False}, {"input": {"prompt": "a cat", "seed": 8}}, {"input": {"prompt": "a cat"}}],
        ids=["not asked for", "another seed", "no seed"],
    )
    def test_else_it_is_an_order(
        self, api: APIClient, completed: Ordering, patient_fal: Simulator, changed: dict[str, Any]
    ) -> None:
        completed(seed=7)
        completed()
        Generation.objects.update(created_at=Generation.objects.all()[0].created_at - timedelta(hours=1))

        assert api.post(GENERATIONS, {**SEEDED, **changed}).status_code == 202

    def test_somebody_elses_result_is_not_reused(
        self, api: APIClient, bob: User, completed: Ordering, patient_fal: Simulator
    ) -> None:
        completed(seed=7, user=bob)

        assert api.post(GENERATIONS, SEEDED).status_code == 202

    @pytest.mark.parametrize("flaw", [{"flagged": True}, {"state": Output.State.LOST}])
    def test_a_result_with_a_flaw_is_not_reused(
        self, api: APIClient, completed: Ordering, patient_fal: Simulator, flaw: dict[str, Any]
    ) -> None:
        completed(seed=7)
        Output.objects.update(**flaw)
        Generation.objects.update(created_at=Generation.objects.get().created_at - timedelta(hours=1))

        assert api.post(GENERATIONS, SEEDED).status_code == 202
