"""Who may see what: every address of the API × everybody, taken from the OpenAPI document so that none is missed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from tests.fixtures.api import key_of, read_to_the_end

pytestmark = pytest.mark.django_db

METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS = [
    (path, method)
    for path, item in SchemaGenerator().get_schema(request=None, public=True)["paths"].items()
    for method in METHODS
    if method in item
]
OBJECTS = [(path, method) for path, method in OPERATIONS if "_id}" in path]


def ask(client: APIClient, method: str, path: str, names: dict[str, Any]):
    return read_to_the_end(getattr(client, method)(path.format(**names)))


def test_the_matrix_knows_the_endpoints() -> None:
    assert ("/api/v1/generations/{generation_id}/cancel/", "post") in OBJECTS
    assert len(OBJECTS) >= 5


@pytest.mark.parametrize("path, method", OPERATIONS)
def test_nobody_anonymous_gets_in(anonymous: APIClient, addresses: dict[str, Any], path: str, method: str) -> None:
    response = ask(anonymous, method, path, addresses)

    assert response.status_code == (200 if path.endswith("/schema/") else 401)
    assert response.get("WWW-Authenticate", "Token").startswith("Token")


@pytest.mark.parametrize("path, method", OBJECTS)
@pytest.mark.parametrize("who", ["bob", "staff"])
def test_g1_what_is_somebody_elses_looks_like_what_does_not_exist(
    request: pytest.FixtureRequest, addresses: dict[str, Any], path: str, method: str, who: str
) -> None:
    stranger = key_of(request.getfixturevalue(who))
    nothing = {name: uuid4() for name in addresses}

    foreign, missing = ask(stranger, method, path, addresses), ask(stranger, method, path, nothing)

    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert {**foreign.json(), "instance": ""} == {**missing.json(), "instance": ""}


@pytest.mark.parametrize("path, method", OBJECTS)
def test_the_owner_gets_in(api: APIClient, addresses: dict[str, Any], fal: Any, path: str, method: str) -> None:
    if path.endswith("/erasure/"):
        api.delete(f"/api/v1/generations/{addresses['generation_id']}/")

    assert ask(api, method, path, addresses).status_code in (200, 202, 204, 409)


@pytest.mark.parametrize(
    "header", ["Token nonsense", "Token", "Token  ", "Bearer x", "Token limn_ü", "Basic YTpi", "x"]
)
def test_a_key_that_is_none_is_refused(anonymous: APIClient, header: str) -> None:
    response = anonymous.get("/api/v1/credits/", headers={"Authorization": header})

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == 'Token realm="Limn"'


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "token"])
def test_a_key_may_be_called_a_bearer_token(alice: User, scheme: str) -> None:
    assert key_of(alice, scheme=scheme).get("/api/v1/credits/").status_code == 200


def test_g25_a_session_reads_without_and_writes_only_with_the_csrf_token(alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)

    read, write = browser.get("/api/v1/credits/"), browser.post("/api/v1/quotes/", {})

    assert read.status_code == 200
    assert (write.status_code, write.json()["code"]) == (403, "not_allowed")


def test_who_was_switched_off_is_out_at_once(alice: User, api: APIClient) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert api.get("/api/v1/credits/").status_code == 401
