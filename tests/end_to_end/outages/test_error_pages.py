"""What a reader sees of a fault of ours: a page for people, a document for programs, and 503 where it passes."""

from __future__ import annotations

import json
import logging

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import RequestFactory

from config import error_handlers
from config.logging import KeyValueFormatter

pytestmark = pytest.mark.once


def after(fault: Exception, path: str) -> HttpResponse:
    """What Django's last resort answers."""
    try:
        raise fault
    except Exception:
        return error_handlers.server_error(RequestFactory().get(path))


def test_a_person_sees_a_page() -> None:
    page = after(RuntimeError("secret"), "/credits/")

    assert page.status_code == 500
    assert b"Internal error" in page.content
    assert b"secret" not in page.content


@pytest.mark.parametrize("path", ["/api/v1/credits/", "/hooks/fal/x/y", "/health/ready"])
def test_a_program_reads_a_document(path: str) -> None:
    document = after(RuntimeError("secret"), path)

    assert document.status_code == 500
    assert json.loads(document.content)["code"] == "internal_error"


@pytest.mark.parametrize("path", ["/credits/", "/api/v1/credits/", "/hooks/fal/x/y"])
def test_a_database_that_is_away_is_503_everywhere(path: str) -> None:
    answer = after(OperationalError("the server closed the connection"), path)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_the_address_of_a_callback_is_not_logged() -> None:
    record = logging.makeLogRecord({"msg": "Service Unavailable: %s", "args": ("/hooks/fal/0192-id/t0k-en_7",)})

    assert KeyValueFormatter().format(record) == "Service Unavailable: /hooks/fal/0192-id/…"
