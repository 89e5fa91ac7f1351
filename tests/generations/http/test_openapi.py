"""The OpenAPI document is valid, complete and true; its pages work under our content security policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from generations.api import urls
from simulator import Simulator
from tests.fixtures.api import CAT, Ordering, read_to_the_end

pytestmark = [pytest.mark.django_db, pytest.mark.once]
DOCUMENT = SchemaGenerator().get_schema(request=None, public=True)
BATCH = {"model": "flux-schnell", "inputs": [{"prompt": "a cat"}]}
BODIES: dict[str, Any] = {
    "create_generation": CAT,
    "create_batch": BATCH,
    "create_infographics": {"prompt": "tea"},
    "change_retention": {"days": 30},
    "quote": CAT,
    "retry_generation": {},
}
BODIES |= {"create_key": {"name": "shop"}, "change_key": {"name": "shop"}}
BODIES |= {
    "create_webhook_endpoint": {"url": "https://example.com/"},
    "change_webhook_endpoint": {"types": ["credits.low"], "credits_low_at": 5},
}
BODIES["create_upload"] = {"file_name": "fox.png", "content_type": "image/png", "size": 99}
NOT_IN_IT = {"index", "schema", "docs"}


def test_the_document_is_valid_and_without_a_warning(tmp_path) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "openapi.yaml"))

    assert (tmp_path / "openapi.yaml").stat().st_size > 10_000


def test_every_address_is_in_it() -> None:
    routes = {pattern.name: str(pattern.pattern) for pattern in urls.urlpatterns if pattern.name}
    documented = {re.sub(r"{\w+}", "{}", path) for path in DOCUMENT["paths"]}

    missing = {name for name, route in routes.items() if re.sub(r"<[^>]+>", "{}", f"/api/{route}") not in documented}

    assert missing <= NOT_IN_IT


OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if not path.endswith("/schema/")
}


@pytest.fixture
def perform(api: APIClient, addresses: dict[str, Any], patient_fal: Simulator) -> Callable[[str], Any]:
    def call(operation_id: str) -> Any:
        method, path, _ = OPERATIONS[operation_id]
        return read_to_the_end(getattr(api, method)(path.format(**addresses), BODIES.get(operation_id)))

    return call


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_every_operation_answers_as_documented(perform: Callable[[str], Any], operation_id: str) -> None:
    response = perform(operation_id)

    documented = OPERATIONS[operation_id][2]["responses"][str(response.status_code)].get("content", {"": {}})
    media_type = response.get("Content-Type", "").partition(";")[0]
    if (said := documented.get(media_type)) and media_type == "application/json" and response.status_code < 300:
        schema = {"components": DOCUMENT["components"], **said["schema"]}
        assert list(Draft202012Validator(schema).iter_errors(response.json())) == []
    else:
        assert {media_type, "*/*"} & set(documented)


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_every_operation_says_how_it_refuses(operation_id: str) -> None:
    method, path, operation = OPERATIONS[operation_id]

    promised = {"401", "503"} | ({"404"} if "{" in path else set()) | ({"403"} if method == "post" else set())

    assert promised <= set(operation["responses"])
    assert operation["description"]


def test_a_failed_generation_is_as_documented_too(api: APIClient, failed: Ordering) -> None:
    schema = {"components": DOCUMENT["components"], "$ref": "#/components/schemas/Generation"}

    body = api.get(f"/api/v1/generations/{failed().pk}/").json()

    assert list(Draft202012Validator(schema).iter_errors(body)) == []


def test_anybody_may_read_the_document(client: Client) -> None:
    response = client.get("/api/v1/schema/", headers={"Accept": "application/json"})

    assert response.json()["info"]["title"] == "Limn"


def test_the_index_leads_to_the_entry_points(client: Client) -> None:
    body = client.get("/api/v1/").json()

    assert body["generations"] == "http://testserver/api/v1/generations/"
    assert client.get(body["docs"]).status_code == 200


def test_the_docs_page_has_nothing_from_elsewhere_and_no_script_in_it(client: Client) -> None:
    page = client.get("/api/v1/docs/").content.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert all(source.startswith(("/static/", "/api/v1/docs/")) for source in sources)
    assert all(finders.find(source.removeprefix("/static/")) for source in sources if "/static/" in source)
    assert re.findall(r"<script>", page) == []


def test_its_policy_is_relaxed_for_styles_alone(client: Client) -> None:
    docs = client.get("/api/v1/docs/")["Content-Security-Policy"]
    usual = client.get("/api/v1/")["Content-Security-Policy"]

    assert "unsafe-inline" not in usual
    assert set(docs.split("; ")) - set(usual.split("; ")) == {"style-src 'self' 'unsafe-inline'"}


def test_the_script_of_the_docs_page_is_a_file_of_its_own(client: Client) -> None:
    response = client.get("/api/v1/docs/?script=")

    assert response["Content-Type"].startswith("application/javascript")
    assert "/api/v1/schema/" in response.content.decode()
