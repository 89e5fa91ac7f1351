"""The OpenAPI document is valid and complete and describes the real responses; Swagger UI works under the CSP."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from generations.api import urls
from simulator import Simulator
from tests.fixtures.api import CAT, PlaceOrder, read_to_the_end

pytestmark = [pytest.mark.django_db, pytest.mark.once]
DOCUMENT = SchemaGenerator().get_schema(request=None, public=True)
BODIES: dict[str, Any] = {
    "create_generation": CAT,
    "create_batch": {"model": "flux-schnell", "inputs": [{"prompt": "a cat"}]},
    "create_infographics": {"prompt": "tea"},
    "change_retention": {"days": 30},
    "quote": CAT,
    "retry_generation": {},
    "create_key": {"name": "shop"},
    "change_key": {"name": "shop"},
    "create_webhook_endpoint": {"url": "https://example.com/"},
    "change_webhook_endpoint": {"types": ["credits.low"], "credits_low_at": 5},
    "create_upload": {"file_name": "fox.png", "content_type": "image/png", "size": 99},
}
"""A body for every operation that needs one, by its operation id."""
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if not path.endswith("/schema/")
}
NOT_DOCUMENTED = {"index", "schema", "docs"}


def test_the_document_is_valid_and_without_a_warning(tmp_path) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "openapi.yaml"))

    assert (tmp_path / "openapi.yaml").stat().st_size > 10_000


def test_every_url_is_in_the_document() -> None:
    routes = {pattern.name: str(pattern.pattern) for pattern in urls.urlpatterns if pattern.name}
    documented = {re.sub(r"{\w+}", "{}", path) for path in DOCUMENT["paths"]}

    missing = {name for name, route in routes.items() if re.sub(r"<[^>]+>", "{}", f"/api/{route}") not in documented}

    assert missing <= NOT_DOCUMENTED


def errors_of(response: Any, operation: dict[str, Any]) -> list[Any]:
    """How a response differs from what the document says about its operation."""
    documented = operation["responses"].get(str(response.status_code))
    if documented is None:
        return [f"{response.status_code} is not documented"]
    content = documented.get("content", {"": {}})
    media_type = response.get("Content-Type", "").partition(";")[0]
    if not {media_type, "*/*"} & set(content):
        return [f"{media_type} is not documented"]
    if media_type != "application/json" or response.status_code >= 300:
        return []
    schema = {"components": DOCUMENT["components"], **content[media_type]["schema"]}
    return list(Draft202012Validator(schema).iter_errors(response.json()))


def test_every_operation_responds_as_documented(
    settings, api: APIClient, path_parameters: dict[str, Any], patient_fal: Simulator
) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 0
    found = {}
    # DELETE comes last: a deleted file is not restored when the transaction is undone.
    deletes_last = sorted(OPERATIONS.items(), key=lambda item: item[1][0] == "delete")

    for operation_id, (method, path, operation) in deletes_last:
        # Undone, so that each operation finds the same objects.
        with transaction.atomic():
            response = getattr(api, method)(path.format(**path_parameters), BODIES.get(operation_id))
            found[operation_id] = errors_of(read_to_the_end(response), operation)
            transaction.set_rollback(True)

    assert {operation_id: errors for operation_id, errors in found.items() if errors} == {}


def test_every_operation_documents_its_errors_and_has_a_description() -> None:
    for operation_id, (method, path, operation) in OPERATIONS.items():
        expected = {"401", "503"} | ({"404"} if "{" in path else set()) | ({"403"} if method == "post" else set())

        assert expected <= set(operation["responses"]), operation_id
        assert operation["description"], operation_id


def test_a_failed_generation_is_as_documented(api: APIClient, failed: PlaceOrder) -> None:
    schema = {"components": DOCUMENT["components"], "$ref": "#/components/schemas/Generation"}

    body = api.get(f"/api/v1/generations/{failed().pk}/").json()

    assert list(Draft202012Validator(schema).iter_errors(body)) == []


# --- Pages about the API ---


def test_the_document_needs_no_authentication(client: Client) -> None:
    response = client.get("/api/v1/schema/", headers={"Accept": "application/json"})

    assert response.json()["info"]["title"] == "Limn"


def test_the_index_links_to_the_resources(client: Client) -> None:
    body = client.get("/api/v1/").json()

    assert body["generations"] == "http://testserver/api/v1/generations/"
    assert client.get(body["docs"]).status_code == 200


def test_the_docs_page_loads_nothing_from_other_hosts_and_has_no_inline_script(client: Client) -> None:
    page = client.get("/api/v1/docs/").content.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert all(source.startswith(("/static/", "/api/v1/docs/")) for source in sources)
    assert all(finders.find(source.removeprefix("/static/")) for source in sources if "/static/" in source)
    assert re.findall(r"<script>", page) == []


def test_the_docs_page_may_set_inline_styles_and_nothing_more(client: Client) -> None:
    docs = client.get("/api/v1/docs/")["Content-Security-Policy"]
    usual = client.get("/api/v1/")["Content-Security-Policy"]

    assert "unsafe-inline" not in usual
    assert set(docs.split("; ")) - set(usual.split("; ")) == {"style-src 'self' 'unsafe-inline'"}


def test_the_script_of_the_docs_page_is_a_separate_file(client: Client) -> None:
    response = client.get("/api/v1/docs/?script=")

    assert response["Content-Type"].startswith("application/javascript")
    assert "/api/v1/schema/" in response.content.decode()


def test_no_component_has_the_suffix_request_twice() -> None:
    names = list(DOCUMENT["components"]["schemas"])

    assert "OrderRequest" in names
    assert [name for name in names if name.endswith("RequestRequest")] == []
