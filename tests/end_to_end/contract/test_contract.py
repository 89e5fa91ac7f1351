"""Schemathesis over the OpenAPI document: whatever is asked, the answer is one that the document names, and no 5xx."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, Response
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts import api_keys
from credits.models import Account
from generations.api import generations
from generations.files import uploads
from generations.models import Erasure
from notifications import endpoints, outbox
from simulator import Simulator
from tests.end_to_end.contract.example_requests import cases, examples_of
from tests.fixtures.api import PlaceOrder, key_of
from tests.helpers.images import picture

# There, because it refuses more than SQLite does: NUL characters, numbers that are too large, texts that are too long.
pytestmark = [pytest.mark.django_db, pytest.mark.only_postgresql]
DOCUMENT = SchemaGenerator().get_schema(request=None, public=True)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]

Ask = Callable[[Case], Response]


def operations(document: dict[str, Any]) -> dict[str, APIOperation]:
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig(seed=1))
    return {
        operation["operationId"]: schema[path][method]
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


OPERATIONS = operations(DOCUMENT)


@pytest.fixture
def hers(
    alice: User, path_parameters: dict[str, Any], running: PlaceOrder, completed: PlaceOrder
) -> list[dict[str, Any]]:
    """Alice's things: as they are at their best, under way, and over."""
    endpoint = endpoints.create(Account.objects.for_user(alice), "https://example.com/deaf")
    message = outbox.send_test(endpoint)
    endpoints.disable(endpoint, "You switched it off.")
    revoked = api_keys.issue(alice, "lost").key
    api_keys.revoke(revoked)
    size = len(picture())
    awaited = uploads.create(
        Account.objects.for_user(alice), file_name="fox.png", content_type="image/png", size_bytes=size
    )
    under_way = {**path_parameters, "generation_id": running().pk, "upload_id": awaited.pk}
    erased = completed()
    key_of(alice).delete(f"/api/v1/generations/{erased.pk}/")
    assert Erasure.objects.filter(generation=erased).exists()
    over = {"generation_id": erased.pk, "endpoint_id": endpoint.pk, "delivery_id": message.pk, "key_id": revoked.uid}
    return [path_parameters, under_way, {**path_parameters, **over}]


@pytest.fixture
def ask(alice: User) -> Iterator[Ask]:
    """Sends a request with Alice's key, and then undoes what it did: each finds the same things."""
    headers = {"Authorization": f"Token {api_keys.issue(alice, 'contract').plain}"}

    def send(case: Case) -> Response:
        with transaction.atomic():
            response: Response = case.call(base_url="http://testserver", headers=headers, app=_limn)
            transaction.set_rollback(True)
        return response

    # Django would close the connection of the test, as every server does before and after a request.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield send
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _limn(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """As a server does it: read to the end, and closed."""
    answer: Any = WSGIHandler()(environ, start_response)
    try:
        return [b"".join(answer)]
    finally:
        answer.close()


def examine(operation: APIOperation, whose: list[dict[str, Any]], ask: Ask) -> Counter[int]:
    """The statuses that came, each so often. Raises whatever schemathesis finds. The same requests every time."""
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=examples_of(operation),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(operation, whose))
    def every_answer_is_documented(case: Case) -> None:
        response = ask(case)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    every_answer_is_documented()
    return statuses


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_one_that_the_document_names(
    hers: list[dict[str, Any]], patient_fal: Simulator, ask: Ask, name: str
) -> None:
    statuses = examine(OPERATIONS[name], hers, ask)

    assert any(status < 300 for status in statuses), f"Nobody has seen it answer: {statuses}"


# --- What is wrong would be seen ---


def lies(document: dict[str, Any], lie: str) -> None:
    """Make the document say something else than what Limn does."""
    reading = document["paths"]["/api/v1/generations/{generation_id}/"]["get"]
    json = reading["responses"]["200"]["content"]
    match lie:
        case "a status":
            del reading["responses"]["404"]
        case "a type":
            document["components"]["schemas"]["Generation"]["properties"]["version"] = {"type": "string"}
        case "a member":
            document["components"]["schemas"]["Generation"]["required"].append("colour")
        case "a media type":
            json["application/xml"] = json.pop("application/json")
        case "a header":
            reading["responses"]["200"]["headers"] = {"X-Colour": {"required": True, "schema": {"type": "string"}}}


LIES = {
    "a status": "UndefinedStatusCode",
    "a type": "JsonSchemaError",
    "a member": "JsonSchemaError",
    "a media type": "UndefinedContentType",
    "a header": "MissingHeaders",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_document_that_lies_is_seen(hers: list[dict[str, Any]], patient_fal: Simulator, ask: Ask, lie: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    lies(document, lie)

    with pytest.raises(FailureGroup) as seen:
        examine(operations(document)["read_generation"], hers, ask)

    assert LIES[lie] in {type(failure).__name__ for failure in seen.value.exceptions}


def test_a_fault_of_ours_is_seen(
    hers: list[dict[str, Any]], patient_fal: Simulator, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "RETRY_AFTER_SECONDS_MIN", "a word")

    with pytest.raises(FailureGroup) as seen:
        examine(OPERATIONS["read_generation"], hers, ask)

    assert "ServerError" in {type(failure).__name__ for failure in seen.value.exceptions}


def test_an_empty_filter_is_refused_and_does_not_show_everything(alice: User) -> None:
    answer = key_of(alice).get("/api/v1/webhook-deliveries/", {"state": ""})

    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (400, ["query", "state"])


def test_the_document_says_how_large_a_number_in_an_address_may_be() -> None:
    asked = [one for item in DOCUMENT["paths"].values() for each in item.values() for one in each.get("parameters", [])]
    numbers = [parameter for parameter in asked if parameter["schema"].get("type") == "integer"]

    assert {parameter["name"] for parameter in numbers} == {"limit", "after"}
    assert [one for one in numbers if not {"minimum", "maximum"} <= set(one["schema"])] == []


def test_the_document_says_what_an_idempotency_key_is() -> None:
    asked = DOCUMENT["paths"]["/api/v1/generations/"]["post"]["parameters"]
    key = next(parameter["schema"] for parameter in asked if parameter["name"] == "Idempotency-Key")

    assert re.fullmatch(key["pattern"], "an order of 2026")
    assert not re.fullmatch(key["pattern"], "\x7f")
    assert (key["minLength"], key["maxLength"]) == (1, 255)
