"""Who may call which operation: every operation of the OpenAPI document, so that none is missed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from simulator import Simulator
from tests.fixtures.api import key_of, read_to_the_end

pytestmark = pytest.mark.django_db

PATHS = SchemaGenerator().get_schema(request=None, public=True)["paths"]
# DELETE comes last: a deleted file is not restored when the transaction is undone.
METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS = [(method, path) for method in METHODS for path, item in PATHS.items() if method in item]
WITH_ID = [(method, path) for method, path in OPERATIONS if "_id}" in path]
"""Operations on one object, which belongs to one user."""


def call(client: APIClient, method: str, path: str, parameters: dict[str, Any]):
    body = {"credits": 3} if (method, path.endswith("/again/")) == ("post", True) else None
    return read_to_the_end(getattr(client, method)(path.format(**parameters), body))


@pytest.fixture(autouse=True)
def no_rate_limit(settings) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 0


def test_the_operations_are_found() -> None:
    assert ("post", "/api/v1/generations/{generation_id}/cancel/") in WITH_ID
    assert len(WITH_ID) >= 5


def test_every_operation_requires_authentication(anonymous: APIClient, path_parameters: dict[str, Any]) -> None:
    for method, path in OPERATIONS:
        response = call(anonymous, method, path, path_parameters)

        assert response.status_code == (200 if path.endswith("/schema/") else 401), (method, path)
        assert response.get("WWW-Authenticate", "Token").startswith("Token"), (method, path)


@pytest.mark.parametrize("who", ["bob", "staff"])
def test_g1_the_object_of_another_user_looks_like_one_that_does_not_exist(
    request: pytest.FixtureRequest, path_parameters: dict[str, Any], who: str
) -> None:
    other_user = key_of(request.getfixturevalue(who))
    missing_parameters = {name: uuid4() for name in path_parameters}

    for method, path in WITH_ID:
        foreign = call(other_user, method, path, path_parameters)
        missing = call(other_user, method, path, missing_parameters)

        assert (foreign.status_code, missing.status_code) == (404, 404), (method, path)
        assert {**foreign.json(), "instance": ""} == {**missing.json(), "instance": ""}, (method, path)


def test_the_owner_may_call_every_operation(api: APIClient, path_parameters: dict[str, Any], fal: Simulator) -> None:
    for method, path in WITH_ID:
        # Undone, so that each operation finds the same objects.
        with transaction.atomic():
            if path.endswith("/erasure/"):
                api.delete(f"/api/v1/generations/{path_parameters['generation_id']}/")

            assert call(api, method, path, path_parameters).status_code in (200, 202, 204, 409), (method, path)
            transaction.set_rollback(True)


def test_an_invalid_key_is_refused(anonymous: APIClient) -> None:
    for header in ("Token nonsense", "Token", "Token  ", "Bearer x", "Token limn_ü", "Basic YTpi", "x"):
        response = anonymous.get("/api/v1/credits/", headers={"Authorization": header})

        assert (response.status_code, response.json()["code"]) == (401, "not_authenticated"), header
        assert response["WWW-Authenticate"] == 'Token realm="Limn"', header


def test_a_key_may_be_sent_as_a_bearer_token(alice: User) -> None:
    for scheme in ("Token", "Bearer", "token"):
        assert key_of(alice, scheme=scheme).get("/api/v1/credits/").status_code == 200, scheme


def test_g25_a_session_needs_the_csrf_token_to_write(alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)

    read, write = browser.get("/api/v1/credits/"), browser.post("/api/v1/quotes/", {})

    assert read.status_code == 200
    assert (write.status_code, write.json()["code"]) == (403, "not_allowed")


def test_a_key_of_an_inactive_user_is_refused(alice: User, api: APIClient) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert api.get("/api/v1/credits/").status_code == 401
