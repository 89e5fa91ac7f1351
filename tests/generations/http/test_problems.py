"""Errors: RFC 9457 documents below /api/, whoever raised them, and never a word too many."""

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
from tests.fixtures.api import CAT, GENERATIONS, Ordering

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_a_problem_has_all_that_rfc_9457_asks_for(api: APIClient) -> None:
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


def test_every_error_has_a_title_and_a_status_of_http() -> None:
    statuses = {error.code: error.status for error in subclasses()}

    assert all(400 <= status < 600 for status in statuses.values())
    assert all(error.title and not error.title.endswith((".", "?")) for error in subclasses())
    assert len({(error.code, error.status, error.title) for error in subclasses()}) == len(statuses)


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_method_that_is_not_taken(api: APIClient, method: str) -> None:
    response = getattr(api, method)(GENERATIONS, CAT)

    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in response["Allow"]


def test_a_representation_that_we_do_not_have(api: APIClient) -> None:
    response = api.get(GENERATIONS, headers={"Accept": "text/csv"})

    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("address", ["/api/", "/api/v2/", "/api/v1/nonsense/", f"{GENERATIONS}1/", "/api/v1/<b>/"])
@pytest.mark.parametrize("method", ["get", "post", "delete", "options"])
def test_an_unknown_address_below_api_is_not_found_in_json(client: Client, address: str, method: str) -> None:
    response = getattr(client, method)(address)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_a_forgotten_slash_is_pointed_out_and_never_redirected(api: APIClient) -> None:
    response = api.post(GENERATIONS.rstrip("/"), CAT)

    assert response.status_code == 404
    assert response.json()["detail"].endswith("URLs end with a slash.")


def test_with_debug_on_it_is_json_as_well(client: Client, settings) -> None:
    settings.DEBUG = True

    assert client.get("/api/v1/nonsense/").json()["code"] == "not_found"


# --- What others raise ---


@pytest.mark.parametrize(
    "error, code",
    [
        (Http404("No Generation matches the given query."), "not_found"),
        (exceptions.PermissionDenied(), "not_allowed"),
        (PermissionDenied("secret"), "not_allowed"),
        (RequestDataTooBig("secret"), "too_large"),
        (SuspiciousOperation("secret"), "malformed"),
        (UnreadablePostError("gone"), "malformed"),
        (exceptions.Throttled(wait=3), "rate_limited"),
        (exceptions.Throttled(), "rate_limited"),
    ],
)
def test_what_others_raise_is_told_in_our_words(error: Exception, code: str) -> None:
    problem = problems.translate(error)

    assert problem is not None
    assert problem.code == code
    assert "secret" not in problem.detail


def test_who_calls_too_often_hears_when_to_come_again() -> None:
    problem = problems.translate(exceptions.Throttled(wait=3.2))

    assert problem is not None
    assert problem.headers == {"Retry-After": "4"}


def test_what_nobody_foresaw_is_left_to_django() -> None:
    assert problems.exception_handler(KeyError("secret"), {}) is None


# --- Outside of the views ---


def test_a_wrong_host_is_refused_in_json_below_api(client: Client) -> None:
    response = client.get("/api/v1/", headers={"Host": "evil.example"})

    assert (response.status_code, response.json()["code"]) == (400, "malformed")


def test_a_wrong_host_is_refused_on_a_page_elsewhere(client: Client) -> None:
    response = client.get("/login/", headers={"Host": "evil.example"})

    assert (response.status_code, response["Content-Type"]) == (400, "text/html; charset=utf-8")


@pytest.mark.parametrize("path, media_type", [("/api/v1/", "application/problem+json"), ("/x/", "text/html")])
def test_each_side_of_the_house_has_its_own_errors(path: str, media_type: str) -> None:
    request = RequestFactory().get(path)

    answers = [
        error_handlers.bad_request(request, SuspiciousOperation()),
        error_handlers.permission_denied(request, PermissionDenied()),
        error_handlers.page_not_found(request, Http404()),
    ]

    assert [answer.status_code for answer in answers] == [400, 403, 404]
    assert {answer["Content-Type"].partition(";")[0] for answer in answers} == {media_type}


def test_a_fault_of_ours_tells_the_caller_nothing(api: APIClient) -> None:
    api.raise_request_exception = False

    def broken(*args: object) -> None:
        raise KeyError("secret")

    with connection.execute_wrapper(broken):
        response = api.get("/api/v1/credits/")

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "secret" not in response.content.decode()


def test_a_fault_of_ours_is_a_page_for_people_and_a_problem_for_programs(rf: RequestFactory) -> None:
    on_page, in_api = error_handlers.server_error(rf.get("/x/")), error_handlers.server_error(rf.get("/api/v1/"))

    assert (on_page.status_code, in_api.status_code) == (500, 500)
    assert b"<h1" in on_page.content
    assert in_api.headers["Content-Type"] == "application/problem+json"


# --- A database that is away ---


@pytest.mark.parametrize("error", [OperationalError("password"), InterfaceError("closed"), PoolTimeout("full")])
@pytest.mark.parametrize("path", ["/api/v1/credits/", "/credits/", "/hooks/fal/x/y"])
def test_a_database_that_is_away_is_503_everywhere(
    rf: RequestFactory, caplog: pytest.LogCaptureFixture, path: str, error: Exception
) -> None:
    caplog.set_level(logging.CRITICAL)

    response = health.DatabaseAwayMiddleware(lambda request: None).process_exception(rf.get(path), error)  # type: ignore[arg-type, return-value]

    assert response is not None
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert b"password" not in response.content


def test_a_session_that_cannot_be_saved_is_503_too(client: Client, alice: User) -> None:
    client.raise_request_exception = False

    with connection.execute_wrapper(_unless("django_session")):
        response = client.post("/login/", {"username": "alice", "password": "correct horse"})

    assert (response.status_code, response["Retry-After"]) == (503, "5")


def test_another_error_is_not_the_databases(rf: RequestFactory) -> None:
    middleware = health.DatabaseAwayMiddleware(lambda request: None)  # type: ignore[arg-type, return-value]

    assert middleware.process_exception(rf.get("/"), KeyError()) is None


def test_a_lock_that_is_not_had_in_time_ends_in_503(alice: User, order: Ordering, api: APIClient) -> None:
    generation = order()

    with connection.execute_wrapper(_unless("UPDATE")):
        response = api.post(f"{GENERATIONS}{generation.pk}/cancel/")

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response["Retry-After"] == "5"


def _unless(word: str) -> Callable[..., Any]:
    """The database, but every statement with this word waits for a lock in vain."""

    def execute(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if word in sql:
            raise OperationalError("canceling statement due to lock timeout")
        return execute(sql, *rest)

    return execute
