"""Ordering the same as an ended generation once more: the retry of a failed one, and a completed one again.

Both are guarded against a second click, whichever way it comes: from two tabs, a client that repeats a POST, or at the
same moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from accounts import api_keys
from accounts.api_keys import Rights
from accounts.models import Scope
from credits.audit import audit
from credits.models import Account
from generations import lifecycle
from generations.lifecycle import placing
from generations.models import FailureCode, Generation
from generations.ordering import price_book, quotas
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, PlaceOrder, key_of
from tests.helpers.threads import at_once
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db
CAT = {"model": "flux-schnell", "input": {"prompt": "a cat"}}
Repeat = Callable[..., Any]


def retry(api: APIClient, earlier: Generation | str, *, key: str | None = None, **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(f"{GENERATIONS}{getattr(earlier, 'pk', earlier)}/retry/", body, headers=headers)


def again(
    api: APIClient, earlier: Generation | str, *, key: str | None = None, credits: object = 3, **body: Any
) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    body |= {"credits": credits}
    return api.post(f"{GENERATIONS}{getattr(earlier, 'pk', earlier)}/again/", body, headers=headers)


@pytest.fixture(params=["retry", "again"])
def repeat(request: pytest.FixtureRequest) -> Repeat:
    return retry if request.param == "retry" else again


@pytest.fixture
def earlier(request: pytest.FixtureRequest, repeat: Repeat) -> Generation:
    """A generation that `repeat` may repeat."""
    make = request.getfixturevalue("failed" if repeat is retry else "completed")
    generation: Generation = make()
    return generation


def fail(generation_id: str) -> None:
    failure = lifecycle.failure(FailureCode.PROVIDER_ERROR)
    assert lifecycle.failed(Generation.objects.get(pk=generation_id), failure, actor="test")


# --- Second clicks ---


def test_a_second_click_orders_nothing_and_names_the_first(
    api: APIClient, alice: User, repeat: Repeat, earlier: Generation, patient_fal: Simulator
) -> None:
    first = repeat(api, earlier)

    second = repeat(api, earlier)

    assert (first.status_code, second.status_code) == (202, 409)
    assert (second.json()["code"], second.json()["earlier"]) == ("duplicate_request", first.json()["id"])
    assert (Generation.objects.count(), Account.objects.for_user(alice).held) == (2, 3)
    assert len(patient_fal.log.accepted()) == 1


def test_a_client_that_repeats_its_request_gets_the_first_generation(
    api: APIClient, repeat: Repeat, earlier: Generation, patient_fal: Simulator
) -> None:
    first, second = (repeat(api, earlier, key="one") for _ in range(2))

    assert (first.status_code, second.status_code, second["Idempotent-Replayed"]) == (202, 200, "true")
    assert second.json()["id"] == first.json()["id"]


def test_a_key_on_the_first_request_only_does_not_let_the_second_through(
    api: APIClient, repeat: Repeat, earlier: Generation, patient_fal: Simulator
) -> None:
    assert [repeat(api, earlier, key="one").status_code, repeat(api, earlier).status_code] == [202, 409]


def test_one_key_stands_for_one_request(
    api: APIClient, repeat: Repeat, earlier: Generation, completed: PlaceOrder, patient_fal: Simulator
) -> None:
    repeat(api, earlier, key="one")

    response = again(api, completed(prompt="a dog"), key="one")

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("means", [{"allow_duplicate": True}, {"key": "two"}], ids=["allow_duplicate", "a new key"])
def test_a_second_order_is_possible_for_who_asks_for_it(
    api: APIClient, repeat: Repeat, earlier: Generation, patient_fal: Simulator, means: dict[str, Any]
) -> None:
    repeat(api, earlier, key="one")

    assert repeat(api, earlier, **means).status_code == 202


def test_after_five_minutes_it_is_no_second_click(
    api: APIClient,
    repeat: Repeat,
    earlier: Generation,
    patient_fal: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repeat(api, earlier)
    monkeypatch.setattr(placing, "DUPLICATE_WITHIN", timedelta(0))

    assert repeat(api, earlier).status_code == 202


def test_what_failed_again_can_be_repeated_at_once(
    api: APIClient, repeat: Repeat, earlier: Generation, patient_fal: Simulator
) -> None:
    fail(repeat(api, earlier).json()["id"])

    assert repeat(api, earlier).status_code == 202


def test_an_order_of_the_same_since_then_is_a_first_click(
    api: APIClient, repeat: Repeat, earlier: Generation, patient_fal: Simulator
) -> None:
    placed = api.post(GENERATIONS, {**CAT, "allow_duplicate": True})

    assert repeat(api, earlier).json()["earlier"] == placed.json()["id"]


def test_the_repetition_of_another_customer_is_none(
    api: APIClient, bob: User, failed: PlaceOrder, patient_fal: Simulator
) -> None:
    retry(api, failed())

    assert retry(key_of(bob), failed(user=bob)).status_code == 202


def test_a_retry_of_a_retry_is_a_retry_of_the_first_too(
    api: APIClient, failed: PlaceOrder, patient_fal: Simulator
) -> None:
    """A tab that still shows the first failure: what it asks for has been ordered by the second retry."""
    first = failed()
    second = retry(api, first).json()["id"]
    fail(second)
    third = retry(api, second).json()["id"]

    assert retry(api, first).json()["earlier"] == third


def test_of_equal_generations_that_failed_each_can_be_retried(
    api: APIClient, failed: PlaceOrder, order: PlaceOrder, patient_fal: Simulator
) -> None:
    """Four infographics have one prompt. The two that were delivered are no retries of the others."""
    order(), order()
    first, second = failed(), failed()

    assert [retry(api, each).status_code for each in (first, second, first)] == [202, 202, 409]


def test_a_completed_generation_and_its_repetition_can_both_be_ordered_again(
    api: APIClient, completed: PlaceOrder, patient_fal: Simulator
) -> None:
    """The earlier one is no repetition of the later one."""
    earlier = completed()
    repetition = completed()
    Generation.objects.filter(pk=repetition.pk).update(retry_of=earlier)

    assert again(api, repetition).status_code == 202


# --- Ordering a completed generation again ---


def test_it_is_a_new_generation_with_the_same_order(
    api: APIClient, alice: User, completed: PlaceOrder, patient_fal: Simulator
) -> None:
    earlier = completed(metadata={"project": "moon"}, num_images=2)

    response = again(api, earlier, credits=6)

    body = response.json()
    assert (response.status_code, response["Location"]) == (202, f"http://testserver{GENERATIONS}{body['id']}/")
    assert (body["retry_of"], body["input"], body["metadata"]) == (
        str(earlier.pk),
        earlier.input,
        {"project": "moon"},
    )
    assert (body["credits"]["held"], Account.objects.for_user(alice).held) == (6, 6)


def test_it_says_what_it_costs_before_it_is_ordered(
    api: APIClient, completed: PlaceOrder, patient_fal: Simulator
) -> None:
    earlier = completed()
    price_book.write("flux-schnell", percent=300, actor="test")

    quote = api.get(f"{GENERATIONS}{earlier.pk}/again/").json()

    assert (quote["credits"], quote["basis"], Generation.objects.count()) == (9, "exact", 1)
    assert again(api, earlier, credits=quote["credits"]).json()["credits"]["held"] == 9


@pytest.mark.parametrize("agreed", [2, 4, 0])
def test_at_another_price_nothing_is_ordered(
    api: APIClient, alice: User, completed: PlaceOrder, patient_fal: Simulator, agreed: int
) -> None:
    response = again(api, completed(), credits=agreed)

    assert (response.status_code, response.json()["code"], response.json()["needed"]) == (409, "price_changed", 3)
    assert (Generation.objects.count(), Account.objects.for_user(alice).held) == (1, 0)
    assert patient_fal.log.posts() == []


@pytest.mark.parametrize("credits", [None, "3", 2.5, -1, True])
def test_without_a_price_nothing_is_ordered(api: APIClient, completed: PlaceOrder, credits: object) -> None:
    response = again(api, completed(), credits=credits)

    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["credits"])


@pytest.mark.parametrize("state, words", [("failed", "retry it"), ("running", "Wait"), ("order", "Wait")])
def test_only_a_completed_generation_is_ordered_again(
    api: APIClient, request: pytest.FixtureRequest, state: str, words: str
) -> None:
    generation = request.getfixturevalue(state)()

    for response in (again(api, generation), api.get(f"{GENERATIONS}{generation.pk}/again/")):
        assert (response.status_code, response.json()["code"]) == (409, "not_completed")
        assert words in response.json()["detail"]


def test_an_erased_generation_cannot_be_ordered_again(api: APIClient, completed: PlaceOrder) -> None:
    erased = completed()
    lifecycle.erase(erased, actor="user:alice")

    assert (again(api, erased).status_code, api.get(f"{GENERATIONS}{erased.pk}/again/").status_code) == (404, 404)


def test_the_generation_of_another_customer_does_not_exist(api: APIClient, bob: User, completed: PlaceOrder) -> None:
    assert again(api, completed(user=bob)).status_code == 404


def test_a_model_that_is_not_offered_cannot_be_ordered_again(api: APIClient, completed: PlaceOrder) -> None:
    earlier = completed()
    price_book.write("flux-schnell", offered=False, actor="test")

    assert again(api, earlier).json()["code"] == "model_not_found"


def test_without_the_credits_nothing_is_ordered(customer: Any, completed: PlaceOrder) -> None:
    poor = customer("poor", credits=5)

    assert again(key_of(poor), completed(user=poor)).status_code == 402


def test_a_key_that_only_reads_sees_the_price_and_orders_nothing(alice: User, completed: PlaceOrder) -> None:
    key = api_keys.issue(alice, "reader", rights=Rights(scopes=frozenset({Scope.READ}))).plain
    reader = APIClient(headers={"Authorization": f"Token {key}"})
    earlier = completed()

    assert (reader.get(f"{GENERATIONS}{earlier.pk}/again/").status_code, again(reader, earlier).status_code) == (
        200,
        403,
    )


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestConcurrentClicks:
    CLICKS = 8

    def test_one_of_many_clicks_orders(
        self, alice: User, repeat: Repeat, earlier: Generation, patient_fal: Simulator
    ) -> None:
        responses = self._click(alice, repeat, earlier, count=self.CLICKS)

        first = next(response.json()["id"] for response in responses if response.status_code == 202)
        assert sorted(response.status_code for response in responses) == [202] + [409] * (self.CLICKS - 1)
        assert {response.json().get("earlier", first) for response in responses} == {first}
        assert len(patient_fal.log.accepted()) == 1
        assert audit().clean

    def test_without_the_lock_on_the_account_several_order(
        self,
        alice: User,
        repeat: Repeat,
        earlier: Generation,
        patient_fal: Simulator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Negative control: neither order is written before both have looked for a repetition."""
        both_have_looked = threading.Barrier(2)
        monkeypatch.setattr(placing, "lock_account", lambda account: account)
        monkeypatch.setattr(quotas, "check", lambda *_, **__: both_have_looked.wait(HANG_SECONDS))

        responses = self._click(alice, repeat, earlier, count=2)

        assert [response.status_code for response in responses] == [202, 202]

    def test_without_the_comparison_each_click_orders(
        self,
        alice: User,
        repeat: Repeat,
        earlier: Generation,
        patient_fal: Simulator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Negative control: the lock alone lets them through one after another."""
        monkeypatch.setattr(placing, "find_repetition", lambda *_, **__: None)

        responses = self._click(alice, repeat, earlier, count=self.CLICKS)

        assert {response.status_code for response in responses} == {202}

    def _click(self, user: User, repeat: Repeat, earlier: Generation, *, count: int) -> list[Any]:
        api = key_of(user)
        return at_once(count, lambda number: repeat(api, earlier))
