"""Connections to fal are kept for the next order, and one submission is still one POST."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from generations.fal import AnswerLost, FalClient
from generations.fal import client as fal_client
from generations.fal.client import KEPT_SECONDS
from tests.generations.fal.test_client import submit
from tests.helpers.scripted_servers import Connection, Server, serving
from tests.services.waiting import HANG_SECONDS, until

pytestmark = [pytest.mark.once, pytest.mark.slow]
# How long the usual servers keep an idle connection, at the least (uvicorn, Node.js).
SERVERS_KEEP_SECONDS = 5.0

Answer = Callable[[Connection], None]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine, more than KEPT_SECONDS may pass between two submissions."""
    monkeypatch.setattr(fal_client, "KEPT_SECONDS", HANG_SECONDS)


def accept(connection: Connection) -> None:
    """Read the rest of the request, and answer with a receipt."""
    head, _, body = connection.request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.socket.recv(65536)
    names = ("status_url", "response_url", "cancel_url")
    receipt = json.dumps(dict.fromkeys(names, "http://127.0.0.1:9/a") | {"request_id": "r"}).encode()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(receipt) + receipt)


def accept_and_keep(connection: Connection) -> None:
    """Accept the job, and wait for the next request on the same connection."""
    accept(connection)
    connection.request = b""
    while b"\r\n\r\n" not in connection.request and (data := connection.socket.recv(65536)):
        connection.request += data


@contextmanager
def fal_that(*answers: Answer) -> Iterator[tuple[FalClient, Server]]:
    """fal, as a server that gives these answers on each connection, one for each request, and then closes it."""

    def handle(connection: Connection) -> None:
        for answer in answers:
            answer(connection)

    with serving(handle) as server, closing(FalClient(key="k", queue_url=server.url)) as client:
        yield client, server


def test_the_next_submission_uses_the_same_connection() -> None:
    with fal_that(accept_and_keep, accept_and_keep, accept_and_keep) as (client, server):
        for _ in range(3):
            submit(client)

        assert server.connections == 1


def test_a_connection_that_fal_has_closed_is_not_used() -> None:
    with fal_that(accept) as (client, server):
        for _ in range(3):
            submit(client)
            until(lambda: server.closed == server.connections, what="the end of the connection")

        assert server.connections == 3


def test_a_post_that_meets_the_end_of_a_kept_connection_is_not_repeated() -> None:
    """Nothing tells whether fal has received it, so its answer is lost, and the submission is unknown."""
    with fal_that(accept_and_keep) as (client, server):
        submit(client)

        with pytest.raises(AnswerLost):
            submit(client)

        assert server.connections == 1


def test_a_connection_is_kept_for_less_than_servers_keep_it() -> None:
    assert KEPT_SECONDS < SERVERS_KEEP_SECONDS
