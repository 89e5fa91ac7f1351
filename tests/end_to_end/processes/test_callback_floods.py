"""`manage.py serve` without a proxy: endless, incorrect and slow requests. Case ids: docs/failure-modes.md, group B."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from config.management.ports import free_port
from generations.models import Submission
from simulator import Simulator
from tests.fixtures.callbacks import SubmitMany
from tests.helpers.web_server import Web, callback_path, read_status, request_head, serve
from tests.services.processes import Processes, RunningCommand

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(shared_limn: Processes, port: int) -> RunningCommand:
    return serve(shared_limn, port)


@pytest.fixture
def web(server: RunningCommand, port: int, fal: Simulator) -> Web:
    return Web(port=port, fal=fal)


@contextmanager
def constant_memory(server: RunningCommand) -> Iterator[None]:
    """Fails if the memory of the server grows by 64 MB or more within the block."""
    before = resident_bytes(server)
    yield
    assert resident_bytes(server) - before < 64 * MEGABYTE


def resident_bytes(server: RunningCommand) -> int:
    """The memory of the process and its children."""
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    return sum(process.memory_info().rss for process in family)


def send_repeatedly(connection: socket.socket, data: bytes, times: int) -> int:
    """Send `data` this often, or until the server closes the connection. Returns the status of the response."""
    with suppress(ConnectionError):
        for _ in range(times):
            connection.sendall(data)
    return read_status(connection)


def test_b21_a_body_of_one_gigabyte_is_refused_by_its_content_length(
    server: RunningCommand, web: Web, submit_many: SubmitMany
) -> None:
    (submission,) = submit_many(1)
    with constant_memory(server):
        headers = web.fal.sign(b"huge", request_id=str(submission.request_id))
        headers["Content-Length"] = str(1024 * MEGABYTE)
        connection = web.connect(request_head(callback_path(submission), headers))

        status = send_repeatedly(connection, b"x" * MEGABYTE, times=1024)

    assert status in {413, 0}
    assert web.deliver(submission) == 200


def test_b21_an_endless_body_in_chunks_is_refused(server: RunningCommand, web: Web, submit_many: SubmitMany) -> None:
    (submission,) = submit_many(1)
    with constant_memory(server):
        headers = web.fal.sign(b"endless", request_id=str(submission.request_id))
        headers["Transfer-Encoding"] = "chunked"
        connection = web.connect(request_head(callback_path(submission), headers))

        status = send_repeatedly(connection, b"100000\r\n" + b"x" * MEGABYTE + b"\r\n", times=256)

    assert status in {411, 0}
    assert web.deliver(submission) == 200


@pytest.mark.parametrize("content_length, sent_bytes", [(10, 400), (400, 390)], ids=["too short", "too long"])
def test_b22_a_callback_with_a_wrong_content_length_is_refused(
    web: Web, submit_many: SubmitMany, content_length: int, sent_bytes: int
) -> None:
    (submission,) = submit_many(1)
    body = web.fal.callback_body(str(submission.request_id)).ljust(400)
    headers = web.fal.sign(body, request_id=str(submission.request_id))
    headers["Content-Length"] = str(content_length)
    connection = web.connect(request_head(callback_path(submission), headers) + body[:sent_bytes])
    connection.shutdown(socket.SHUT_WR)

    assert read_status(connection) in {0, 400, 401}

    assert web.deliver(submission) == 200


def slow_clients(web: Web, submission: Submission) -> list[socket.socket]:
    """Two hundred connections: half of them never end their headers, half never send their body."""
    foreign = web.fal.sign(b"slow", request_id="slow", user_id="another-customer")
    endless_headers = request_head(callback_path(submission), {})[:-2]
    missing_body = request_head(callback_path(submission), {**foreign, "Content-Length": "1000"}) + b"s"
    return [web.connect(data) for data in (endless_headers, missing_body) for _ in range(100)]


def test_b22_two_hundred_slow_clients_do_not_delay_a_callback(web: Web, submit_many: SubmitMany) -> None:
    submissions = submit_many(20)
    connections = slow_clients(web, submissions[0])

    assert [web.deliver(submission) for submission in submissions] == [200] * 20
    for connection in connections:
        connection.close()


def test_b22_a_connection_whose_headers_never_end_is_closed(web: Web) -> None:
    connection = web.connect(b"POST /hooks/fal HTTP/1.1\r\nHost: 127.0.0.1\r\n")

    assert read_status(connection) in {0, 408}
