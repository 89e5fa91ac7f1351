"""Schemathesis sends random requests to every operation: each answer is one that the OpenAPI document names, no 5xx."""

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
from tests.end_to_end.contract.document import DOCUMENT
from tests.end_to_end.contract.example_requests import cases, examples_of
from tests.fixtures.api import PlaceOrder, key_of
from tests.helpers.images import picture

# PostgreSQL refuses more than SQLite does: NUL characters, numbers that are too large, texts that are too long.
pytestmark = [pytest.mark.django_db, pytest.mark.only_postgresql]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]

Send = Callable[[Case], Response]


def operations(document: dict[str, Any]) -> dict[str, APIOperation]:
    """The operations of an OpenAPI document by their id."""
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig(seed=1))
    return {
        operation["operationId"]: schema[path][method]
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


OPERATIONS = operations(DOCUMENT)
# It takes no other price than the present one, which no random request names.
NAMES_A_PRICE = "order_again"


@pytest.fixture
def objects(
    alice: User, path_parameters: dict[str, Any], running: PlaceOrder, completed: PlaceOrder, failed: PlaceOrder
) -> list[dict[str, Any]]:
    """Path parameters for objects of Alice: finished, in progress, failed, and ended (erased, revoked …)."""
    account = Account.objects.for_user(alice)
    upload = uploads.create(account, file_name="fox.png", content_type="image/png", size_bytes=len(picture()))
    in_progress = {**path_parameters, "generation_id": running().pk, "upload_id": upload.pk}
    erased = completed()
    key_of(alice).delete(f"/api/v1/generations/{erased.pk}/")
    assert Erasure.objects.filter(generation=erased).exists()
    endpoint = endpoints.create(account, "https://example.com/disabled")
    delivery = outbox.send_test(endpoint)
    endpoints.disable(endpoint, "You switched it off.")
    revoked = api_keys.issue(alice, "revoked").key
    api_keys.revoke(revoked)
    ended = {"generation_id": erased.pk, "endpoint_id": endpoint.pk, "delivery_id": delivery.pk, "key_id": revoked.uid}
    has_failed = {"generation_id": failed().pk}
    return [path_parameters, in_progress, {**path_parameters, **has_failed}, {**path_parameters, **ended}]


@pytest.fixture
def send(alice: User) -> Iterator[Send]:
    """Sends a request with Alice's key. Its changes are rolled back, so that each request finds the same objects."""
    headers = {"Authorization": f"Token {api_keys.issue(alice, 'contract').plain}"}

    def send(case: Case) -> Response:
        with transaction.atomic():
            response: Response = case.call(base_url="http://testserver", headers=headers, app=_limn)
            transaction.set_rollback(True)
        return response

    # These handlers close the database connection before and after a request, and the test still uses it.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield send
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _limn(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """A WSGI application that reads and closes the response, as a server does."""
    response: Any = WSGIHandler()(environ, start_response)
    try:
        return [b"".join(response)]
    finally:
        response.close()


def check(operation: APIOperation, objects: list[dict[str, Any]], send: Send) -> Counter[int]:
    """Sends the same random requests each time. Returns how often each status was answered.

    Raises:
        FailureGroup: An answer differs from the document.
    """
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
    @given(cases(operation, objects))
    def every_answer_is_documented(case: Case) -> None:
        response = send(case)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    every_answer_is_documented()
    return statuses


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_one_that_the_document_names(
    objects: list[dict[str, Any]], patient_fal: Simulator, send: Send, name: str
) -> None:
    statuses = check(OPERATIONS[name], objects, send)

    succeeded = any(status < 300 for status in statuses)
    assert succeeded == (name != NAMES_A_PRICE), f"No request succeeded: {statuses}"


# --- Negative controls: errors in the document or in Limn are found ---


def falsify(document: dict[str, Any], change: str) -> None:
    """Changes the document so that it differs from Limn."""
    read = document["paths"]["/api/v1/generations/{generation_id}/"]["get"]
    content = read["responses"]["200"]["content"]
    match change:
        case "missing status":
            del read["responses"]["404"]
        case "wrong type":
            document["components"]["schemas"]["Generation"]["properties"]["version"] = {"type": "string"}
        case "additional member":
            document["components"]["schemas"]["Generation"]["required"].append("colour")
        case "wrong media type":
            content["application/xml"] = content.pop("application/json")
        case "additional header":
            read["responses"]["200"]["headers"] = {"X-Colour": {"required": True, "schema": {"type": "string"}}}


# The changes, and the failures that schemathesis must report.
FALSIFICATIONS = {
    "missing status": "UndefinedStatusCode",
    "wrong type": "JsonSchemaError",
    "additional member": "JsonSchemaError",
    "wrong media type": "UndefinedContentType",
    "additional header": "MissingHeaders",
}


@pytest.mark.parametrize("change", FALSIFICATIONS)
def test_an_error_of_the_document_is_found(
    objects: list[dict[str, Any]], patient_fal: Simulator, send: Send, change: str
) -> None:
    document = copy.deepcopy(DOCUMENT)
    falsify(document, change)

    with pytest.raises(FailureGroup) as found:
        check(operations(document)["read_generation"], objects, send)

    assert FALSIFICATIONS[change] in {type(failure).__name__ for failure in found.value.exceptions}


def test_an_exception_in_a_view_is_found(
    objects: list[dict[str, Any]], patient_fal: Simulator, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "RETRY_AFTER_SECONDS_MIN", "a word")

    with pytest.raises(FailureGroup) as found:
        check(OPERATIONS["read_generation"], objects, send)

    assert "ServerError" in {type(failure).__name__ for failure in found.value.exceptions}


# --- Details of the document ---


def test_an_empty_filter_is_refused_instead_of_ignored(alice: User) -> None:
    response = key_of(alice).get("/api/v1/webhook-deliveries/", {"state": ""})

    assert (response.status_code, response.json()["errors"][0]["loc"]) == (400, ["query", "state"])


def test_every_number_among_the_parameters_has_limits_in_the_document() -> None:
    documented = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]
    parameters = [parameter for operation in documented for parameter in operation.get("parameters", [])]
    numbers = [parameter for parameter in parameters if parameter["schema"].get("type") == "integer"]

    assert {parameter["name"] for parameter in numbers} == {"limit", "after"}
    assert [number for number in numbers if not {"minimum", "maximum"} <= set(number["schema"])] == []


def test_the_document_describes_the_characters_and_length_of_an_idempotency_key() -> None:
    parameters = DOCUMENT["paths"]["/api/v1/generations/"]["post"]["parameters"]
    key = next(parameter["schema"] for parameter in parameters if parameter["name"] == "Idempotency-Key")

    assert re.fullmatch(key["pattern"], "an order of 2026")
    assert not re.fullmatch(key["pattern"], "\x7f")
    assert (key["minLength"], key["maxLength"]) == (1, 255)
