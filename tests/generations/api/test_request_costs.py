"""Reading costs a bounded number of statements and Python calls, which do not depend on the machine.

A change that exceeds one makes every poll of every client slower.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from accounts import api_keys
from credits.models import Account
from generations import lifecycle
from generations.catalogue import find
from generations.http import throttling
from generations.models import Batch
from generations.ordering.orders import BatchOrder, Order
from tests.fixtures.api import GENERATIONS, PlaceOrder
from tests.services import request_cost
from tests.services.request_cost import Request, RequestCost
from tests.services.seaweed import Bucket

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db(transaction=True)


class Reader:
    """Measures reads with a key of Alice."""

    def __init__(self, user: User) -> None:
        self._key = api_keys.issue(user, "test").plain

    def __call__(self, path: str, **headers: str) -> RequestCost:
        request = Request(path=path, headers={"Authorization": f"Token {self._key}", **headers})
        return request_cost.measure(lambda: request)


@pytest.fixture
def read(alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Reader:
    # A process takes the tokens of a second at once, so the measured requests have theirs in hand. They must not expire
    # on a busy machine.
    settings.USER_REQUESTS_PER_MINUTE = 6000
    monkeypatch.setattr(throttling, "KEPT_SECONDS", 3600)
    return Reader(alice)


def test_reading_a_generation(read: Reader, completed: PlaceOrder) -> None:
    cost = read(f"{GENERATIONS}{completed().pk}/")

    assert (cost.response.status, len(json.loads(cost.response.content)["outputs"])) == (200, 1)
    assert len(cost.statements) == 1
    assert cost.calls <= 2500


@pytest.mark.once
def test_reading_a_generation_with_a_file_in_a_bucket(bucket: Bucket, read: Reader, completed: PlaceOrder) -> None:
    cost = read(f"{GENERATIONS}{completed().pk}/")

    assert json.loads(cost.response.content)["outputs"][0]["url"].startswith(bucket.endpoint_url)
    assert len(cost.statements) == 1
    assert cost.calls <= 2500


def test_polling_an_unchanged_generation(read: Reader, running: PlaceOrder) -> None:
    generation = running()

    cost = read(f"{GENERATIONS}{generation.pk}/", **{"If-None-Match": f'"{generation.version}"'})

    assert (cost.response.status, cost.response.content) == (304, b"")
    assert len(cost.statements) == 1
    assert cost.calls <= 2000


def test_polling_a_changed_generation(read: Reader, running: PlaceOrder) -> None:
    cost = read(f"{GENERATIONS}{running().pk}/", **{"If-None-Match": '"1"'})

    assert cost.response.status == 200
    assert len(cost.statements) == 2
    assert cost.calls <= 3000


def test_a_generation_that_does_not_exist(read: Reader) -> None:
    cost = read(f"{GENERATIONS}01890a5d-ac96-774b-bcce-b302099a8057/")

    assert cost.response.status == 404
    assert len(cost.statements) == 1


def test_a_list_of_twenty(read: Reader, completed: PlaceOrder) -> None:
    for _ in range(20):
        completed()

    cost = read(GENERATIONS)

    assert len(json.loads(cost.response.content)["results"]) == 20
    assert len(cost.statements) == 2
    assert cost.calls <= 15_000


@pytest.fixture
def large_batch(alice: User) -> Batch:
    model, raw_input = find("flux-schnell"), {"prompt": "a cat"}
    orders = [Order(model=model, inputs=model.read(raw_input), raw_input=raw_input)] * 200
    return lifecycle.order_batch(Account.objects.for_user(alice), BatchOrder(orders=orders), actor="user:alice")[0]


def test_a_batch_of_two_hundred(read: Reader, large_batch: Batch) -> None:
    path = f"/api/v1/batches/{large_batch.pk}/"

    cost = read(path)
    assert len(json.loads(cost.response.content)["generations"]) == 200
    assert len(cost.statements) == 2
    assert cost.calls <= 65_000
    unchanged = read(path, **{"If-None-Match": cost.response.headers["ETag"]})
    assert unchanged.response.status == 304
    assert unchanged.response.headers["Retry-After"] == cost.response.headers["Retry-After"]
    assert len(unchanged.statements) == 1
    assert unchanged.calls <= 2000


def test_a_list_with_a_batch_of_two_hundred(read: Reader, large_batch: Batch) -> None:
    cost = read("/api/v1/batches/")

    assert json.loads(cost.response.content)["results"][0]["progress"]["total"] == 200
    assert len(cost.statements) == 3
    assert cost.calls <= 25_000
