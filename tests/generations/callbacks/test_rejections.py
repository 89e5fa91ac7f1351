"""Rejected callbacks are counted in memory, and the counts are written later. Case B1 of docs/failure-modes.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from psycopg_pool import PoolTimeout
from pytest_django import DjangoAssertNumQueries

from config.management.ports import free_port
from generations.callbacks import rejections
from generations.models import RejectedCallbacks, Submission
from simulator import Simulator
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.metrics import scrape
from tests.helpers.web_server import Web, callback_path, serve
from tests.services.processes import Processes
from tests.services.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_counts(db: None) -> None:
    """Removes the counts of earlier tests, which this process keeps in memory."""
    rejections.flush()
    RejectedCallbacks.objects.all().delete()


def counts() -> dict[int, int]:
    return dict(RejectedCallbacks.objects.values_list("status", "number"))


@contextmanager
def failing_database(error: type[Exception]) -> Iterator[None]:
    def fail(execute: Callable[..., Any], *args: Any) -> Any:
        raise error("away")

    with connection.execute_wrapper(fail):
        yield


def test_b1_forgeries_are_counted_without_a_query(
    client: Client, submitted: Submission, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        for _ in range(3):
            client.post(callback_path(submitted), b"{}", content_type="application/json")

    rejections.flush()

    assert scrape(client)["limn_callbacks_refused_total", "401"] == 3


def test_rejections_are_counted_by_their_status(callbacks: CallbackSender, submitted: Submission) -> None:
    body, headers = callbacks.signed(submitted)
    callbacks.post(submitted.pk, "wrong-token", body, headers)
    callbacks.post(submitted.pk, submitted.token, b"other bytes", headers)
    callbacks.send(submitted)

    rejections.flush()
    rejections.flush()

    assert counts() == {401: 1, 404: 1}


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, PoolTimeout])
def test_counts_that_cannot_be_written_are_added_to_the_next_ones(
    caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    rejections.count(401)
    with failing_database(error):
        rejections.flush()
    rejections.count(401)

    rejections.flush()

    assert counts() == {401: 2}
    assert "rejected callbacks could not be counted yet" in caplog.text


@pytest.mark.once
def test_a_web_server_writes_its_counts_by_itself(
    shared_limn: Processes, fal: Simulator, submitted: Submission
) -> None:
    web = Web(port=free_port(), fal=fal)
    serve(shared_limn, web.port)

    assert web.post(callback_path(submitted), b"{}", {}).status_code == 401

    assert until(counts) == {401: 1}
