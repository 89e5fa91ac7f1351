"""Erasing by the API, and how long things are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from accounts import api_keys
from accounts.models import Scope
from generations.models import Generation, Retention
from generations.workers import eraser
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, Ordering

pytestmark = pytest.mark.django_db


def test_the_answer_is_a_receipt_and_asked_again_the_same(api: APIClient, completed: Ordering) -> None:
    generation = completed(num_images=2)
    address = f"{GENERATIONS}{generation.pk}/"

    first = api.delete(address)
    eraser.run_once(limit=10)
    again = api.delete(address)

    assert (first.status_code, again.status_code) == (202, 200)
    assert (len(first.json()["files"]), again.json()["id"]) == (2, first.json()["id"])
    assert again.json() == api.get(f"{address}erasure/").json()


def test_afterwards_it_shows_what_it_cost_and_nothing_else(api: APIClient, completed: Ordering) -> None:
    generation = completed(metadata={"project": "moon"})
    content = api.get(f"{GENERATIONS}{generation.pk}/").json()["outputs"][0]["content_url"]
    etag = api.get(f"{GENERATIONS}{generation.pk}/")["ETag"]
    api.delete(f"{GENERATIONS}{generation.pk}/")

    body = api.get(f"{GENERATIONS}{generation.pk}/", headers={"If-None-Match": etag}).json()

    assert (body["input"], body["metadata"], body["outputs"], body["details"]) == ({}, {}, [], {})
    assert (body["credits"]["captured"], body["erased_at"] is None) == (3, False)
    assert api.get(content).status_code == 404


def test_what_is_being_made_must_be_cancelled_first(api: APIClient, running: Ordering) -> None:
    response = api.delete(f"{GENERATIONS}{running().pk}/")

    assert (response.status_code, response.json()["code"]) == (409, "not_finished")
    assert Generation.objects.get().erased_at is None


def test_what_another_is_being_made_of_stays(api: APIClient, completed: Ordering, patient_fal: Simulator) -> None:
    generation = completed()
    source = {"output": str(generation.outputs.get().pk)}
    api.post(GENERATIONS, {"model": "tripo-v2.5", "input": {"image_url": source}})

    response = api.delete(f"{GENERATIONS}{generation.pk}/")

    assert (response.status_code, response.json()["code"]) == (409, "in_use")
    assert Generation.objects.get(pk=generation.pk).outputs.stored().count() == 1


def test_what_was_erased_cannot_be_tried_again(api: APIClient, completed: Ordering) -> None:
    generation = completed()
    api.delete(f"{GENERATIONS}{generation.pk}/")

    assert api.post(f"{GENERATIONS}{generation.pk}/retry/").status_code == 404


def test_a_key_that_only_orders_erases_what_was_ordered_with_it(alice: User, completed: Ordering) -> None:
    rights = replace(api_keys.ALL_RIGHTS, scopes=frozenset({Scope.READ, Scope.ORDER}))
    issued, shop = api_keys.issue(alice, "shop", rights=rights), APIClient()
    shop.credentials(HTTP_AUTHORIZATION=f"Token {issued.plain}")
    others, its_own = completed(), completed()
    Generation.objects.filter(pk=its_own.pk).update(api_key=issued.key)

    answers = [shop.delete(f"{GENERATIONS}{generation.pk}/").status_code for generation in (others, its_own)]

    assert answers == [403, 202]
    assert [Generation.objects.get(pk=each.pk).erased_at is None for each in (others, its_own)] == [True, False]


def test_without_an_erasure_there_is_no_receipt(api: APIClient, completed: Ordering) -> None:
    assert api.get(f"{GENERATIONS}{completed().pk}/erasure/").status_code == 404


@pytest.mark.parametrize("days, status", [(1, 200), (3650, 200), (None, 200), (0, 422), (3651, 422), ("7", 422)])
def test_a_rule_is_set_and_lifted(api: APIClient, days: object, status: int) -> None:
    api.put("/api/v1/retention/", {"days": 30})

    response = api.put("/api/v1/retention/", {"days": days})

    assert response.status_code == status
    assert api.get("/api/v1/retention/").json()["days"] == (days if status == 200 else 30)
    assert Retention.objects.count() == (days is not None)
