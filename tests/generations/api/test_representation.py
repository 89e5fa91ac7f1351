"""The plain dicts of `representation` are the JSON that `GenerationSerializer` describes, in every state."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from django.contrib.auth.models import User
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from generations import lifecycle
from generations.api.representation import Links, represent_found
from generations.api.serializers import GenerationSerializer
from generations.models import Batch, CancelledBy, Generation, InputFile, Output, Phase, Submission
from generations.models.statements import with_related_rows
from tests.fixtures.api import PlaceOrder
from tests.helpers.images import insert_upload
from tests.helpers.lifecycle_facts import REACH

pytestmark = pytest.mark.django_db


@pytest.fixture
def in_every_phase(order: PlaceOrder) -> None:
    for phase in Phase:
        REACH[phase](order().submissions.get())


@pytest.fixture
def ended_in_every_way(order: PlaceOrder, completed: PlaceOrder, failed: PlaceOrder) -> None:
    Output.objects.filter(generation=completed(num_images=2)).update(width=64, height=48, duration_seconds=2.5)
    refused = failed(code="invalid_input")
    Generation.objects.filter(pk=refused.pk).update(
        failure_errors=[{"loc": ["image_urls", 0], "msg": "Too large.", "type": "image_too_large", "ctx": {"max": 1}}]
    )
    lifecycle.cancel_asked(order(), by=CancelledBy.CUSTOMER, actor="user:alice")
    lifecycle.erase(completed(), actor="user:alice")


@pytest.fixture
def with_everything(alice: User, running: PlaceOrder, completed: PlaceOrder, batch: Batch) -> None:
    """A generation whose columns are all filled, beside a batch and a generation of a removed model."""
    generation, earlier = running(metadata={"project": "moon"}), completed()
    Submission.objects.create(generation=generation, number=2, request_id="newer")
    InputFile.objects.create(generation=generation, path="image_urls[0]", upload=insert_upload(alice))
    InputFile.objects.create(generation=generation, path="image_urls[1]", output=earlier.outputs.get())
    Generation.objects.filter(pk=generation.pk).update(
        retry_of=earlier, idempotency_key="key-1", queue_position=4, percent=40, message="Denoising"
    )
    batch.generations.update(model="retired-1")


@pytest.fixture
def links() -> Links:
    return Links.of(Request(APIRequestFactory().get("/api/v1/generations/")))


@pytest.mark.usefixtures("in_every_phase", "ended_in_every_way", "with_everything")
def test_the_json_is_what_the_serializer_describes(links: Links) -> None:
    schema = _exactly_documented("Generation")

    for generation in with_related_rows(Generation.objects.all()):
        body = json.loads(json.dumps(represent_found(generation, links=links)))

        assert list(Draft202012Validator(schema).iter_errors(body)) == [], generation
        # The fields of the serializer render it as it is: the same members in the same order.
        rendered = GenerationSerializer().to_representation(body)
        assert json.dumps(rendered) == json.dumps(body), generation


def _exactly_documented(component: str) -> dict[str, Any]:
    """The JSON schema of a component, in which no member may be missing and none may be added."""
    schemas = deepcopy(SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"])
    for schema in schemas.values():
        if "properties" in schema:
            schema |= {"additionalProperties": False, "required": list(schema["properties"])}
    return {**schemas[component], "components": {"schemas": schemas}}
