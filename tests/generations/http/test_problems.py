"""Errors: RFC 9457 documents below /api/, HTML pages elsewhere, and no internal details in either."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, UnreadablePostError
from django.test import Client, RequestFactory
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.test import APIClient

from config import error_handlers, health
from errors import subclasses
from generations.http import problems
from tests.fixtures.api import CAT, GENERATIONS, PlaceOrder

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_a_problem_has_the_members_of_rfc_9457(api: APIClient) -> None:
    response = api.get(f"{GENERATIONS}01890a5d-ac96-774b-bcce-b302099a8057/")

    assert response["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "urn:limn:problem:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "Not found.",
        "instance": f"{GENERATIONS}01890a5d-ac96-774b-bcce-b302099a8057/",
        "code": "not_found",
    }


def test_every_error_has_a_title_and_an_http_status() -> None:
    statuses = {error.code: error.status for error in subclasses()}

    assert all(400 <= status < 600 for status in statuses.values())
    assert all(error.title and not error.title.endswith((".", "?")) for error in subclasses())
    assert len({(error.code, error.status, error.title) for error in subclasses()}) == len(statuses)


def test_an_unsupported_method_is_refused(api: APIClient) -> None:
    for method in ("put", "patch", "delete"):
        response = getattr(api, method)(GENERATIONS, CAT)

        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed"), method
        assert "POST" in response["Allow"], method


def test_an_unsupported_media_type_is_not_acceptable(api: APIClient) -> None:
    response = api.get(GENERATIONS, headers={"Accept": "text/csv"})

    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("method", ["get", "post", "delete", "options"])
def test_an_unknown_url_below_api_is_not_found_in_json(client: Client, method: str) -> None:
    for url in ("/api/", "/api/v2/", "/api/v1/nonsense/", f"{GENERATIONS}1/", "/api/v1/<b>/"):
        response = getattr(client, method)(url)

        assert (response.status_code, response.json()["code"]) == (404, "not_found"), url


def test_a_missing_slash_is_explained_and_not_redirected(api: APIClient) -> None:
    response = api.post(GENERATIONS.rstrip("/"), CAT)

    assert response.status_code == 404
    assert response.json()["detail"].endswith("URLs end with a slash.")


def test_an_unknown_url_is_not_found_in_json_even_with_debug_on(client: Client, settings) -> None:
    settings.DEBUG = True

    assert client.get("/api/v1/nonsense/").json()["code"] == "not_found"


# --- Exceptions of Django and DRF ---


def test_exceptions_of_django_and_drf_become_problems_without_their_messages() -> None:
    codes = {
        Http404("No Generation matches the given query."): "not_found",
        exceptions.PermissionDenied(): "not_allowed",
        PermissionDenied("secret"): "not_allowed",
        RequestDataTooBig("secret"): "too_large",
        SuspiciousOperation("secret"): "malformed",
        UnreadablePostError("gone"): "malformed",
        exceptions.Throttled(wait=3): "rate_limited",
        exceptions.Throttled(): "rate_limited",
    }

    for error, code in codes.items():
        problem = problems.translate(error)

        assert problem is not None, error
        assert (problem.code, "secret" in problem.detail) == (code, False)


def test_a_throttled_request_has_retry_after_in_whole_seconds() -> None:
    problem = problems.translate(exceptions.Throttled(wait=3.2))

    assert problem is not None
    assert problem.headers == {"Retry-After": "4"}


def test_an_unexpected_exception_is_left_to_django() -> None:
    assert problems.exception_handler(KeyError("secret"), {}) is None


# --- Outside of the views ---


def test_a_wrong_host_is_refused_in_json_below_api(client: Client) -> None:
    response = client.get("/api/v1/", headers={"Host": "evil.example"})

    assert (response.status_code, response.json()["code"]) == (400, "malformed")


def test_a_wrong_host_is_refused_with_a_page_elsewhere(client: Client) -> None:
    response = client.get("/login/", headers={"Host": "evil.example"})

    assert (response.status_code, response["Content-Type"]) == (400, "text/html; charset=utf-8")


@pytest.mark.parametrize("path, media_type", [("/api/v1/", "application/problem+json"), ("/x/", "text/html")])
def test_errors_are_problems_below_api_and_pages_elsewhere(path: str, media_type: str) -> None:
    request = RequestFactory().get(path)

    responses = [
        error_handlers.bad_request(request, SuspiciousOperation()),
        error_handlers.permission_denied(request, PermissionDenied()),
        error_handlers.page_not_found(request, Http404()),
    ]

    assert [response.status_code for response in responses] == [400, 403, 404]
    assert {response["Content-Type"].partition(";")[0] for response in responses} == {media_type}


def test_an_internal_error_has_no_details(api: APIClient) -> None:
    api.raise_request_exception = False

    def broken(*args: object) -> None:
        raise KeyError("secret")

    with connection.execute_wrapper(broken):
        response = api.get("/api/v1/credits/")

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "secret" not in response.content.decode()


def test_an_internal_error_is_a_problem_below_api_and_a_page_elsewhere(rf: RequestFactory) -> None:
    page, problem = error_handlers.server_error(rf.get("/x/")), error_handlers.server_error(rf.get("/api/v1/"))

    assert (page.status_code, problem.status_code) == (500, 500)
    assert b"<h1" in page.content
    assert problem.headers["Content-Type"] == "application/problem+json"


# --- An unavailable database ---


@pytest.mark.parametrize("error", [OperationalError("password"), InterfaceError("closed"), PoolTimeout("full")])
def test_an_unavailable_database_is_503_everywhere(
    rf: RequestFactory, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.CRITICAL)

    middleware = health.DatabaseUnavailableMiddleware(lambda request: None)  # type: ignore[arg-type, return-value]
    for path in ("/api/v1/credits/", "/credits/", "/hooks/fal/x/y"):
        response = middleware.process_exception(rf.get(path), error)

        assert response is not None, path
        assert (response.status_code, response["Retry-After"]) == (503, "5"), path
        assert b"password" not in response.content, path


def test_a_session_that_cannot_be_saved_is_503(client: Client, alice: User) -> None:
    client.raise_request_exception = False

    with connection.execute_wrapper(_lock_timeout_at("django_session")):
        response = client.post("/login/", {"username": "alice", "password": "correct horse"})

    assert (response.status_code, response["Retry-After"]) == (503, "5")


def test_another_exception_is_not_taken_for_an_unavailable_database(rf: RequestFactory) -> None:
    middleware = health.DatabaseUnavailableMiddleware(lambda request: None)  # type: ignore[arg-type, return-value]

    assert middleware.process_exception(rf.get("/"), KeyError()) is None


def test_a_lock_timeout_is_503(alice: User, order: PlaceOrder, api: APIClient) -> None:
    generation = order()

    with connection.execute_wrapper(_lock_timeout_at("UPDATE")):
        response = api.post(f"{GENERATIONS}{generation.pk}/cancel/")

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response["Retry-After"] == "5"


def _lock_timeout_at(word: str) -> Callable[..., Any]:
    """An execute wrapper: every statement that contains this word times out while it waits for a lock."""

    def execute(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if word in sql:
            raise OperationalError("canceling statement due to lock timeout")
        return execute(sql, *rest)

    return execute
