"""Rejected callbacks are counted without a query. Case ids: docs/failure-modes.md, group B."""

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
def nothing_counted() -> None:
    """A process counts on; what came before belongs to other tests."""
    rejections._counts.clear()


def counted() -> dict[int, int]:
    return dict(RejectedCallbacks.objects.values_list("status", "number"))


@contextmanager
def the_database_away(error: type[Exception]) -> Iterator[None]:
    def refuse(execute: Callable[..., Any], *args: Any) -> Any:
        raise error("away")

    with connection.execute_wrapper(refuse):
        yield


def test_b1_forgeries_are_counted_without_touching_the_database(
    client: Client, submitted: Submission, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        for _ in range(3):
            client.post(callback_path(submitted), b"{}", content_type="application/json")

    rejections.flush()

    assert scrape(client)["limn_callbacks_refused_total", "401"] == 3


def test_refusals_are_told_apart_by_their_status(
    callbacks: CallbackSender, fal: Simulator, submitted: Submission
) -> None:
    body = fal.callback_body(callbacks.request_id(submitted))
    headers = fal.sign(body, request_id=callbacks.request_id(submitted))
    callbacks.post(submitted.pk, "wrong-token", body, headers)
    callbacks.post(submitted.pk, submitted.token, b"other bytes", headers)
    callbacks.send(submitted)

    rejections.flush()
    rejections.flush()

    assert counted() == {401: 1, 404: 1}


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, PoolTimeout])
def test_what_the_database_does_not_take_is_counted_with_the_next(
    caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    rejections.count(401)
    with the_database_away(error):
        rejections.flush()
    rejections.count(401)

    rejections.flush()

    assert counted() == {401: 2}
    assert "rejected callbacks could not be counted yet" in caplog.text


@pytest.mark.once
def test_a_server_writes_its_refusals_down_by_itself(
    shared_limn: Processes, fal: Simulator, submitted: Submission
) -> None:
    web = Web(port=free_port(), fal=fal)
    serve(shared_limn, web.port)

    assert web.post(callback_path(submitted), b"{}", {}).status_code == 401

    assert until(counted) == {401: 1}
