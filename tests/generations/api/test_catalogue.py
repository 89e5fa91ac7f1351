"""The models that can be ordered, and quotes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from generations.catalogue import MODELS
from generations.models import Generation
from tests.fixtures.api import CAT, PlaceOrder

pytestmark = pytest.mark.django_db


def test_all_models_are_listed(api: APIClient) -> None:
    body = api.get("/api/v1/models/").json()

    assert {model["slug"] for model in body["results"]} == set(MODELS)


def test_each_model_has_its_schema_its_price_and_its_outputs(settings, api: APIClient) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 0
    for slug, model in MODELS.items():
        body = api.get(f"/api/v1/models/{slug}/").json()

        Draft202012Validator.check_schema(body["input_schema"])
        assert body["price"] == model.price.description, slug
        assert body["outputs"], slug
        assert all(output["role"] and output["content_type"] for output in body["outputs"]), slug


def test_the_input_schema_accepts_what_the_api_accepts(api: APIClient) -> None:
    schema = api.get("/api/v1/models/flux-schnell/").json()["input_schema"]

    assert Draft202012Validator(schema).is_valid(CAT["input"])
    assert not Draft202012Validator(schema).is_valid({"prompt": "a cat", "sync_mode": True})


def test_an_unknown_model_is_not_found(api: APIClient) -> None:
    response = api.get("/api/v1/models/dall-e/")

    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")


def test_without_completed_generations_the_typical_duration_is_the_declared_one(api: APIClient) -> None:
    assert api.get("/api/v1/models/veo3.1-fast/").json()["typical_seconds"] == 75


def test_the_typical_duration_is_the_median_of_completed_generations(
    api: APIClient, completed: PlaceOrder, failed: PlaceOrder
) -> None:
    failed()
    for seconds in (2, 8, 600):
        backdate(completed(), seconds)

    assert api.get("/api/v1/models/flux-schnell/").json()["typical_seconds"] == 8


def backdate(generation: Generation, seconds: int) -> None:
    assert generation.finished_at is not None
    created_at = generation.finished_at - timedelta(seconds=seconds)
    Generation.objects.filter(pk=generation.pk).update(created_at=created_at)


def test_a_quote_is_the_price_of_an_order_and_places_none(api: APIClient) -> None:
    body = api.post("/api/v1/quotes/", {"model": "flux-schnell", "input": {"prompt": "a cat", "num_images": 4}}).json()

    assert (body["credits"], body["basis"]) == (12, "exact")
    assert datetime.fromisoformat(body["valid_until"]) > timezone.now()
    assert not Generation.objects.exists()


def test_a_quote_includes_the_preset(api: APIClient) -> None:
    order = {"model": "tripo-v2.5", "preset": "high", "input": {"image_url": "https://example.com/cat.png"}}

    assert api.post("/api/v1/quotes/", order).json()["credits"] == 400


def test_a_quote_is_refused_like_an_order(api: APIClient) -> None:
    refused: list[tuple[dict[str, object], int]] = [
        ({**CAT, "max_credits": 3}, 422),
        ({**CAT, "input": {}}, 422),
        ({**CAT, "model": "dall-e"}, 404),
        ({}, 422),
    ]

    for order, status in refused:
        assert api.post("/api/v1/quotes/", order).status_code == status, order
