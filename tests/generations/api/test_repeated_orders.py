"""An order that is placed twice: refused as a duplicate, or answered with the earlier result if `reuse` asks for it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credits.models import Account
from generations import lifecycle
from generations.lifecycle import placing
from generations.models import FailureCode, Generation, Output
from generations.ordering import quotas
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS, PlaceOrder, key_of
from tests.helpers.threads import at_once
from tests.services.waiting import HANG_SECONDS

SEEDED = {"model": "flux-schnell", "input": {"prompt": "a cat", "seed": 7}, "reuse": True}


@pytest.mark.django_db
class TestDuplicates:
    def test_a_duplicate_is_refused_and_holds_nothing(
        self, api: APIClient, alice: User, patient_fal: Simulator
    ) -> None:
        first, second = api.post(GENERATIONS, CAT), api.post(GENERATIONS, CAT)

        assert (second.status_code, second.json()["code"]) == (409, "duplicate_request")
        assert second.json()["earlier"] == first.json()["id"]
        assert Account.objects.for_user(alice).held == 3

    def test_allow_duplicate_accepts_a_duplicate(self, api: APIClient, patient_fal: Simulator) -> None:
        api.post(GENERATIONS, CAT)

        assert api.post(GENERATIONS, {**CAT, "allow_duplicate": True}).status_code == 202

    def test_a11_without_an_idempotency_key_an_order_some_minutes_later_is_no_duplicate(
        self, api: APIClient, patient_fal: Simulator
    ) -> None:
        api.post(GENERATIONS, CAT)
        Generation.objects.update(created_at=Generation.objects.get().created_at - placing.DUPLICATE_WITHIN)

        assert api.post(GENERATIONS, CAT).status_code == 202

    def test_an_order_whose_generation_failed_can_be_repeated_at_once(
        self, api: APIClient, patient_fal: Simulator
    ) -> None:
        api.post(GENERATIONS, CAT)
        lifecycle.failed(Generation.objects.get(), lifecycle.failure(FailureCode.PROVIDER_ERROR), actor="test")

        assert api.post(GENERATIONS, CAT).status_code == 202

    def test_an_explicit_default_does_not_make_another_order(self, api: APIClient, patient_fal: Simulator) -> None:
        api.post(GENERATIONS, CAT)
        explicit = {**CAT, "input": {**CAT["input"], "num_images": 1}}  # type: ignore[dict-item]

        assert api.post(GENERATIONS, explicit).status_code == 409

    def test_the_same_order_of_another_customer_is_no_duplicate(
        self, api: APIClient, bob: User, patient_fal: Simulator
    ) -> None:
        api.post(GENERATIONS, CAT)

        assert key_of(bob).post(GENERATIONS, CAT).status_code == 202


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestConcurrentDuplicates:
    def test_one_of_many_concurrent_duplicates_is_accepted(self, alice: User, patient_fal: Simulator) -> None:
        assert sorted(self._post_concurrently(alice, count=6)) == [202] + [409] * 5

    def test_without_the_lock_on_the_account_several_are_accepted(
        self, alice: User, patient_fal: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Negative control: neither order is written before both have looked for a duplicate."""
        both_have_looked = threading.Barrier(2)
        monkeypatch.setattr(placing, "lock_account", lambda account: account)
        monkeypatch.setattr(quotas, "check", lambda *_, **__: both_have_looked.wait(HANG_SECONDS))

        assert self._post_concurrently(alice, count=2) == [202, 202]

    def _post_concurrently(self, user: User, *, count: int) -> list[int]:
        api = key_of(user)
        return at_once(count, lambda number: api.post(GENERATIONS, CAT).status_code)


@pytest.mark.django_db
class TestReuse:
    def test_an_earlier_result_is_reused_at_no_charge(self, api: APIClient, alice: User, completed: PlaceOrder) -> None:
        earlier, before = completed(seed=7), Account.objects.for_user(alice).balance

        response = api.post(GENERATIONS, SEEDED)

        assert (response.status_code, response["Limn-Reused"]) == (200, "true")
        assert response.json()["id"] == str(earlier.pk)
        assert (Account.objects.for_user(alice).balance, Account.objects.for_user(alice).held) == (before, 0)

    def test_a_reused_result_has_its_details(self, api: APIClient, completed: PlaceOrder) -> None:
        earlier = completed(seed=7)

        assert earlier.details == {"seed": 7}
        assert api.post(GENERATIONS, SEEDED).json()["details"] == {"seed": 7}

    @pytest.mark.parametrize(
        "changed",
        [{"reuse": False}, {"input": {"prompt": "a cat", "seed": 8}}, {"input": {"prompt": "a cat"}}],
        ids=["reuse is off", "another seed", "no seed"],
    )
    def test_any_other_order_is_placed(
        self, api: APIClient, completed: PlaceOrder, patient_fal: Simulator, changed: dict[str, Any]
    ) -> None:
        completed(seed=7)
        completed()
        Generation.objects.update(created_at=Generation.objects.all()[0].created_at - timedelta(hours=1))

        assert api.post(GENERATIONS, {**SEEDED, **changed}).status_code == 202

    def test_the_result_of_another_customer_is_not_reused(
        self, api: APIClient, bob: User, completed: PlaceOrder, patient_fal: Simulator
    ) -> None:
        completed(seed=7, user=bob)

        assert api.post(GENERATIONS, SEEDED).status_code == 202

    @pytest.mark.parametrize("flaw", [{"flagged": True}, {"state": Output.State.LOST}])
    def test_a_flagged_or_incomplete_result_is_not_reused(
        self, api: APIClient, completed: PlaceOrder, patient_fal: Simulator, flaw: dict[str, Any]
    ) -> None:
        completed(seed=7)
        Output.objects.update(**flaw)
        Generation.objects.update(created_at=Generation.objects.get().created_at - timedelta(hours=1))

        assert api.post(GENERATIONS, SEEDED).status_code == 202
