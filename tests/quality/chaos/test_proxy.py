"""The proxy injects the fault that it is told to, and otherwise forwards everything unchanged."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from config.management.ports import free_port
from quality.chaos.proxy import Proxy
from tests.services.waiting import until

pytestmark = [pytest.mark.once, pytest.mark.slow]
RESPONSE = b"x" * 5000


@pytest.fixture
def target() -> Iterator[int]:
    """The port of a server that gives the same response to every request."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            if connection.recv(100):
                connection.sendall(RESPONSE)


@pytest.fixture
def proxy(target: int) -> Iterator[Proxy]:
    started = Proxy(free_port(), target)
    until(lambda: request(started) == RESPONSE, what="the proxy")
    yield started
    started.stop()


def request(proxy: Proxy) -> bytes | str:
    """Send one request through the proxy. Returns the response, or how the connection failed."""
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=1) as connection:
            connection.sendall(b"?")
            while chunk := connection.recv(10_000):
                received += chunk
    except TimeoutError:
        return "timeout"
    except OSError:
        return f"reset after {len(received)}"
    return received


@pytest.mark.parametrize(
    "mode, details, expected",
    [
        ("reset", {}, "reset after 0"),
        ("blackhole", {}, "timeout"),
        ("respond", {"response": "no"}, b"no"),
        ("delay", {"seconds": 0.01}, RESPONSE),
    ],
)
def test_a_mode_injects_its_fault_until_it_ends(
    proxy: Proxy, mode: str, details: dict[str, object], expected: bytes | str
) -> None:
    proxy.set_mode(mode, **details)
    until(lambda: request(proxy) == expected, what=mode)

    proxy.set_mode("pass")
    assert until(lambda: request(proxy) == RESPONSE, what="the end of the fault")


def test_a_cut_response_ends_in_the_middle(proxy: Proxy) -> None:
    proxy.set_mode("cut", bytes=2000)

    until(lambda: str(request(proxy)).startswith("reset"), what="the cut")

    assert len(request(proxy)) < len(RESPONSE)
