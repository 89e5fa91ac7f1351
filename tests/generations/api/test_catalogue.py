"""Models and quotes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from generations.catalogue import MODELS
from generations.models import Generation
from tests.fixtures.api import CAT, Ordering

pytestmark = pytest.mark.django_db


def test_everything_on_offer_is_listed(api: APIClient) -> None:
    body = api.get("/api/v1/models/").json()

    assert {model["slug"] for model in body["results"]} == set(MODELS)


@pytest.mark.parametrize("slug", MODELS)
def test_a_model_tells_all_that_an_order_needs(api: APIClient, slug: str) -> None:
    body = api.get(f"/api/v1/models/{slug}/").json()

    Draft202012Validator.check_schema(body["input_schema"])
    assert body["price"] == MODELS[slug].price.description
    assert body["outputs"]
    assert all(output["role"] and output["content_type"] for output in body["outputs"])


def test_the_schema_accepts_what_the_api_accepts(api: APIClient) -> None:
    schema = api.get("/api/v1/models/flux-schnell/").json()["input_schema"]

    assert Draft202012Validator(schema).is_valid(CAT["input"])
    assert not Draft202012Validator(schema).is_valid({"prompt": "a cat", "sync_mode": True})


def test_an_unknown_model_is_not_found(api: APIClient) -> None:
    response = api.get("/api/v1/models/dall-e/")

    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")


def test_until_there_is_a_history_its_declaration_tells_how_long_it_takes(api: APIClient) -> None:
    assert api.get("/api/v1/models/veo3.1-fast/").json()["typical_seconds"] == 75


def test_then_the_median_of_those_that_completed(api: APIClient, completed: Ordering, failed: Ordering) -> None:
    failed()
    for seconds in (2, 8, 600):
        backdate(completed(), seconds)

    assert api.get("/api/v1/models/flux-schnell/").json()["typical_seconds"] == 8


def backdate(generation: Generation, seconds: int) -> None:
    assert generation.finished_at is not None
    created_at = generation.finished_at - timedelta(seconds=seconds)
    Generation.objects.filter(pk=generation.pk).update(created_at=created_at)


def test_a_quote_is_what_an_order_costs_and_makes_nothing(api: APIClient) -> None:
    body = api.post("/api/v1/quotes/", {"model": "flux-schnell", "input": {"prompt": "a cat", "num_images": 4}}).json()

    assert (body["credits"], body["basis"]) == (12, "exact")
    assert datetime.fromisoformat(body["valid_until"]) > timezone.now()
    assert not Generation.objects.exists()


def test_a_quote_knows_presets(api: APIClient) -> None:
    wish = {"model": "tripo-v2.5", "preset": "high", "input": {"image_url": "https://example.com/cat.png"}}

    assert api.post("/api/v1/quotes/", wish).json()["credits"] == 400


@pytest.mark.parametrize(
    "wish, status",
    [({**CAT, "max_credits": 3}, 422), ({**CAT, "input": {}}, 422), ({**CAT, "model": "dall-e"}, 404), ({}, 422)],
)
def test_a_quote_refuses_what_an_order_would(api: APIClient, wish: dict[str, object], status: int) -> None:
    assert api.post("/api/v1/quotes/", wish).status_code == status
