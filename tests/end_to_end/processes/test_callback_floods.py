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
from tests.fixtures.callbacks import Hiring
from tests.helpers.web_server import Web, head, path_of, serve, status_on
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
def flat_memory(server: RunningCommand) -> Iterator[None]:
    """Within the block the server may grow by 64 MB and no more."""
    before = resident(server)
    yield
    assert resident(server) - before < 64 * MEGABYTE


def resident(running: RunningCommand) -> int:
    family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    return sum(process.memory_info().rss for process in family)


def pour(line: socket.socket, drop: bytes, times: int) -> int:
    """Send until we have sent it all or nobody listens; what was answered."""
    with suppress(ConnectionError):
        for _ in range(times):
            line.sendall(drop)
    return status_on(line)


def test_b21_a_gigabyte_is_refused_at_its_declaration(server: RunningCommand, web: Web, hire: Hiring) -> None:
    (attempt,) = hire(1)
    with flat_memory(server):
        claims = web.fal.sign(b"huge", request_id=str(attempt.request_id))
        line = web.dial(head(path_of(attempt), {**claims, "Content-Length": str(1024 * MEGABYTE)}))

        answer = pour(line, b"x" * MEGABYTE, times=1024)

    assert answer in {413, 0}
    assert web.deliver(attempt) == 200


def test_b21_an_endless_body_in_chunks_is_refused(server: RunningCommand, web: Web, hire: Hiring) -> None:
    (attempt,) = hire(1)
    with flat_memory(server):
        claims = web.fal.sign(b"endless", request_id=str(attempt.request_id))
        line = web.dial(head(path_of(attempt), {**claims, "Transfer-Encoding": "chunked"}))

        answer = pour(line, b"100000\r\n" + b"x" * MEGABYTE + b"\r\n", times=256)

    assert answer in {411, 0}
    assert web.deliver(attempt) == 200


@pytest.mark.parametrize("declared, sent", [(10, 400), (400, 390)], ids=["too short", "too long"])
def test_b22_a_length_that_lies_fools_nobody(web: Web, hire: Hiring, declared: int, sent: int) -> None:
    (attempt,) = hire(1)
    body = web.fal.callback_body(str(attempt.request_id)).ljust(400)
    claims = web.fal.sign(body, request_id=str(attempt.request_id))
    line = web.dial(head(path_of(attempt), {**claims, "Content-Length": str(declared)}) + body[:sent])
    line.shutdown(socket.SHUT_WR)

    assert status_on(line) in {0, 400, 401}

    assert web.deliver(attempt) == 200


def slow_senders(web: Web, attempt: Submission) -> list[socket.socket]:
    """Half of them never end their headers, half never send their body."""
    stranger = web.fal.sign(b"slow", request_id="slow", user_id="another-customer")
    endless = head(path_of(attempt), {})[:-2]
    bodiless = head(path_of(attempt), {**stranger, "Content-Length": "1000"}) + b"s"
    return [web.dial(words) for words in (endless, bodiless) for _ in range(100)]


def test_b22_two_hundred_slow_senders_hold_up_no_true_callback(web: Web, hire: Hiring) -> None:
    attempts = hire(20)
    slow = slow_senders(web, attempts[0])

    assert [web.deliver(attempt) for attempt in attempts] == [200] * 20
    for line in slow:
        line.close()


def test_b22_who_never_ends_his_headers_is_let_go(web: Web) -> None:
    line = web.dial(b"POST /hooks/fal HTTP/1.1\r\nHost: 127.0.0.1\r\n")

    assert status_on(line) in {0, 408}
