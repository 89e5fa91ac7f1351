"""Erasing a generation, and the retention of an account."""

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
from tests.fixtures.api import GENERATIONS, PlaceOrder

pytestmark = pytest.mark.django_db


def test_erasing_returns_a_receipt_and_again_the_same_one(api: APIClient, completed: PlaceOrder) -> None:
    generation = completed(num_images=2)
    url = f"{GENERATIONS}{generation.pk}/"

    first = api.delete(url)
    eraser.run_once(limit=10)
    second = api.delete(url)

    assert (first.status_code, second.status_code) == (202, 200)
    assert (len(first.json()["files"]), second.json()["id"]) == (2, first.json()["id"])
    assert second.json() == api.get(f"{url}erasure/").json()


def test_an_erased_generation_shows_its_price_and_nothing_of_its_content(api: APIClient, completed: PlaceOrder) -> None:
    generation = completed(metadata={"project": "moon"})
    content = api.get(f"{GENERATIONS}{generation.pk}/").json()["outputs"][0]["content_url"]
    etag = api.get(f"{GENERATIONS}{generation.pk}/")["ETag"]
    api.delete(f"{GENERATIONS}{generation.pk}/")

    body = api.get(f"{GENERATIONS}{generation.pk}/", headers={"If-None-Match": etag}).json()

    assert (body["input"], body["metadata"], body["outputs"], body["details"]) == ({}, {}, [], {})
    assert (body["credits"]["captured"], body["erased_at"] is None) == (3, False)
    assert api.get(content).status_code == 404


def test_a_generation_in_progress_cannot_be_erased(api: APIClient, running: PlaceOrder) -> None:
    response = api.delete(f"{GENERATIONS}{running().pk}/")

    assert (response.status_code, response.json()["code"]) == (409, "not_finished")
    assert Generation.objects.get().erased_at is None


def test_a_generation_whose_output_is_in_use_cannot_be_erased(
    api: APIClient, completed: PlaceOrder, patient_fal: Simulator
) -> None:
    generation = completed()
    image = {"output": str(generation.outputs.get().pk)}
    api.post(GENERATIONS, {"model": "tripo-v2.5", "input": {"image_url": image}})

    response = api.delete(f"{GENERATIONS}{generation.pk}/")

    assert (response.status_code, response.json()["code"]) == (409, "in_use")
    assert Generation.objects.get(pk=generation.pk).outputs.stored().count() == 1


def test_an_erased_generation_cannot_be_retried(api: APIClient, completed: PlaceOrder) -> None:
    generation = completed()
    api.delete(f"{GENERATIONS}{generation.pk}/")

    assert api.post(f"{GENERATIONS}{generation.pk}/retry/").status_code == 404


def test_a_key_without_the_scope_manage_erases_only_what_was_ordered_with_it(
    alice: User, completed: PlaceOrder
) -> None:
    rights = replace(api_keys.ALL_RIGHTS, scopes=frozenset({Scope.READ, Scope.ORDER}))
    issued, shop = api_keys.issue(alice, "shop", rights=rights), APIClient()
    shop.credentials(HTTP_AUTHORIZATION=f"Token {issued.plain}")
    other, own = completed(), completed()
    Generation.objects.filter(pk=own.pk).update(api_key=issued.key)

    statuses = [shop.delete(f"{GENERATIONS}{generation.pk}/").status_code for generation in (other, own)]

    assert statuses == [403, 202]
    assert [Generation.objects.get(pk=each.pk).erased_at is None for each in (other, own)] == [True, False]


def test_a_generation_that_is_not_erased_has_no_receipt(api: APIClient, completed: PlaceOrder) -> None:
    assert api.get(f"{GENERATIONS}{completed().pk}/erasure/").status_code == 404


def test_retention_is_set_and_removed(api: APIClient) -> None:
    for days, status in [(1, 200), (3650, 200), (None, 200), (0, 422), (3651, 422), ("7", 422)]:
        api.put("/api/v1/retention/", {"days": 30})

        response = api.put("/api/v1/retention/", {"days": days})

        assert response.status_code == status, days
        assert api.get("/api/v1/retention/").json()["days"] == (days if status == 200 else 30)
        assert Retention.objects.count() == (days is not None)
