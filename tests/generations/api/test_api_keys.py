"""The resource `/api/v1/keys/`, and the scopes that every operation of the API needs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from accounts import api_keys
from accounts.api_keys import Rights
from accounts.models import ApiKey, Scope
from generations.models import Generation
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS

pytestmark = pytest.mark.django_db
KEYS = "/api/v1/keys/"
SOON = timezone.now() + timedelta(days=1)


def client_with(user: User, **rights: Any) -> APIClient:
    """A client with a new key that has these rights."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {api_keys.issue(user, 'test', rights=Rights(**rights)).plain}")
    return client


# --- Scopes ---


class _AnyId(dict[str, str]):
    """An id for every parameter of a path."""

    def __missing__(self, name: str) -> str:
        return str(uuid4())


def operations() -> list[tuple[str, str, str]]:
    """Method, path and scope of every operation in the OpenAPI document."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [
        (method, path, operation["x-scope"])
        for path, item in paths.items()
        for method, operation in item.items()
        if not path.endswith("/schema/")
    ]


@pytest.mark.once
def test_every_operation_needs_its_scope(alice: User) -> None:
    only = {scope: client_with(alice, scopes=frozenset({scope})) for scope in Scope}
    all_but = {scope: client_with(alice, scopes=frozenset(Scope) - {scope}) for scope in Scope}

    for method, path, scope in operations():
        url = path.format_map(_AnyId())
        without, with_it = (getattr(clients[Scope(scope)], method)(url) for clients in (all_but, only))

        assert (without.status_code, with_it.status_code != 403) == (403, True), (method, path)
        assert f"“{scope}”" in without.json()["detail"]


def test_the_openapi_document_names_the_scope_of_an_operation() -> None:
    assert {
        ("get", "/api/v1/generations/", "read"),
        ("post", "/api/v1/quotes/", "read"),
        ("post", "/api/v1/generations/", "order"),
        ("post", "/api/v1/generations/{generation_id}/cancel/", "order"),
        ("get", "/api/v1/keys/", "manage"),
        ("patch", "/api/v1/keys/{key_id}/", "manage"),
        ("get", "/api/v1/retention/", "read"),
        ("put", "/api/v1/retention/", "manage"),
    } <= set(operations())


def test_a_session_needs_no_scope(alice: User, client: APIClient) -> None:
    client.force_login(alice)

    assert client.get(KEYS).status_code == 200


# --- Create, list, change, revoke ---


def test_a_key_is_created_with_its_rights_and_shown_once(api: APIClient) -> None:
    body = {"name": " shop ", "scopes": ["read"], "credits_max": 9, "models": ["flux-dev"], "expires_at": f"{SOON}"}

    answer = api.post(KEYS, body)

    key = answer.json()
    shown = {name: key[name] for name in ("name", "scopes", "credits_max", "credits_spent", "models")}
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert shown == {"name": "shop", "scopes": ["read"], "credits_max": 9, "credits_spent": 0, "models": ["flux-dev"]}
    assert datetime.fromisoformat(key["expires_at"]) == SOON
    assert key["key"] not in api.get(answer["Location"]).content.decode()
    assert APIClient().get("/api/v1/credits/", headers={"Authorization": f"Token {key['key']}"}).status_code == 200


def test_a_key_reads_and_orders_unless_its_rights_are_given(api: APIClient) -> None:
    key = api.post(KEYS, {"name": "shop"}).json()

    rights = [key[name] for name in ("scopes", "expires_at", "credits_max", "models")]
    assert rights == [["order", "read"], None, None, []]


WRONG_MEMBERS: list[dict[str, Any]] = [
    {"name": ""},
    {"name": "x" * 101},
    {"name": None},
    {"scopes": []},
    {"scopes": ["all"]},
    {"scopes": "read"},
    {"credits_max": -1},
    {"credits_max": 1.5},
    {"models": ["nonsense"]},
    {"expires_at": "2020-01-01T00:00:00Z"},
    {"expires_at": "2099-01-01T00:00:00"},
    {"expires_at": "soon"},
    {"expires_at": 4_000_000_000},
    {"digest": "d"},
]


@pytest.mark.once
@pytest.mark.parametrize("method", ["post", "patch"])
def test_a_wrong_member_is_refused_with_its_name(api: APIClient, method: str) -> None:
    url, body = (KEYS, {"name": "shop"}) if method == "post" else (f"{KEYS}{ApiKey.objects.get().uid}/", {})

    for wrong in WRONG_MEMBERS:
        answer = getattr(api, method)(url, {**body, **wrong})

        assert (answer.status_code, answer.json()["errors"][0]["loc"][0]) == (422, next(iter(wrong))), wrong
    assert ApiKey.objects.count() == 1


def test_the_list_shows_what_was_spent_with_each_key_in_one_query(alice: User, patient_fal: Simulator) -> None:
    client = client_with(alice)
    assert client.post(GENERATIONS, CAT).status_code == 202
    client_with(alice)

    with CaptureQueriesContext(connection) as queries:
        keys = client.get(KEYS).json()["results"]

    assert [key["credits_spent"] for key in keys] == [0, Generation.objects.get().credits]
    assert sum("credits_spent" in query["sql"] for query in queries) == 1


def test_a_change_leaves_the_members_alone_that_it_does_not_name(alice: User, api: APIClient) -> None:
    key = api_keys.issue(alice, "old", rights=Rights(credits_max=5)).key
    url = f"{KEYS}{key.uid}/"

    changed = api.patch(url, {"name": "new", "expires_at": f"{SOON}"}).json()

    key.refresh_from_db()
    assert (key.name, key.expires_at, key.credits_max) == ("new", SOON, 5)
    assert (changed["name"], changed["credits_max"]) == ("new", 5)
    assert api.patch(url, {"credits_max": None}).json()["credits_max"] is None


def test_a_key_is_revoked_at_once(alice: User, api: APIClient) -> None:
    other = client_with(alice)
    url = f"{KEYS}{ApiKey.objects.latest('pk').uid}/"

    assert [api.delete(url).status_code for _ in range(2)] == [204, 204]

    assert other.get("/api/v1/credits/").status_code == 401
    assert api.get(url).json()["revoked_at"] is not None


def test_a_key_cannot_create_a_stronger_key_but_a_session_can(alice: User, client: APIClient) -> None:
    client.force_login(alice)
    body = {"name": "shop", "scopes": ["order"]}

    with_key = client_with(alice, scopes=frozenset({"read", "manage"})).post(KEYS, body)
    with_session = client.post(KEYS, body, content_type="application/json")

    assert (with_key.status_code, with_key.json()["code"]) == (403, "not_allowed")
    assert with_session.status_code == 201
