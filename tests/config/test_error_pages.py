"""Answers to unexpected exceptions: a page for people, a problem document for programs, 503 if it is temporary."""

from __future__ import annotations

import json
import logging

import pytest
from django.db import InternalError, OperationalError
from django.http import HttpResponse
from django.test import RequestFactory

from config import error_handlers
from config.logging import KeyValueFormatter

pytestmark = pytest.mark.once


def answer_to(error: Exception, path: str) -> HttpResponse:
    """The answer of `handler500` to a request in which this exception was raised."""
    try:
        raise error
    except Exception:
        return error_handlers.server_error(RequestFactory().get(path))


def test_an_error_of_a_page_is_answered_with_a_page_without_its_message() -> None:
    page = answer_to(RuntimeError("secret"), "/credits/")

    assert page.status_code == 500
    assert b"Internal error" in page.content
    assert b"secret" not in page.content


@pytest.mark.parametrize("path", ["/api/v1/credits/", "/hooks/fal/x/y", "/health/ready"])
def test_an_error_of_the_api_callbacks_or_health_is_a_problem_document(path: str) -> None:
    document = answer_to(RuntimeError("secret"), path)

    assert document.status_code == 500
    assert json.loads(document.content)["code"] == "internal_error"


@pytest.mark.parametrize("path", ["/credits/", "/api/v1/credits/", "/hooks/fal/x/y"])
@pytest.mark.parametrize(
    "error",
    [
        OperationalError("the server closed the connection"),
        # PostgreSQL after a failover, and Django's class for it.
        InternalError("cannot execute INSERT in a read-only transaction"),
    ],
)
def test_a_database_error_is_answered_503_with_retry_after(error: Exception, path: str) -> None:
    answer = answer_to(error, path)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_the_token_of_a_callback_address_is_not_logged() -> None:
    record = logging.makeLogRecord({"msg": "Service Unavailable: %s", "args": ("/hooks/fal/0192-id/t0k-en_7",)})

    assert KeyValueFormatter().format(record) == "Service Unavailable: /hooks/fal/0192-id/…"
