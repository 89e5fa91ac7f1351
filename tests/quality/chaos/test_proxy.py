"""The proxy spoils what it is told to spoil, and carries everything else as it is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from config.management.ports import free_port
from quality.chaos.proxy import Proxy
from tests.services.waiting import until

pytestmark = pytest.mark.once
SAID = b"x" * 5000


@pytest.fixture
def target() -> Iterator[int]:
    """Says its piece to whoever speaks to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_all, args=(server,), daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def answer_all(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            if connection.recv(100):
                connection.sendall(SAID)


@pytest.fixture
def proxy(target: int) -> Iterator[Proxy]:
    started = Proxy(free_port(), target)
    until(lambda: asked(started) == SAID, what="the proxy")
    yield started
    started.stop()


def asked(proxy: Proxy) -> bytes | str:
    """What comes of a word to the target, or how it failed."""
    heard = b""
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=1) as line:
            line.sendall(b"?")
            while chunk := line.recv(10_000):
                heard += chunk
    except TimeoutError:
        return "silence"
    except OSError:
        return f"torn after {len(heard)}"
    return heard


@pytest.mark.parametrize(
    "mode, details, heard",
    [
        ("reset", {}, "torn after 0"),
        ("blackhole", {}, "silence"),
        ("speak", {"answer": "no"}, b"no"),
        ("delay", {"seconds": 0.01}, SAID),
    ],
)
def test_it_behaves_as_told(proxy: Proxy, mode: str, details: dict[str, object], heard: bytes | str) -> None:
    proxy.behave(mode, **details)

    until(lambda: asked(proxy) == heard, what=mode)
    proxy.behave("pass")
    until(lambda: asked(proxy) == SAID, what="the proxy to carry again")

    assert asked(proxy) == SAID


def test_a_cut_answer_ends_in_the_middle(proxy: Proxy) -> None:
    proxy.behave("cut", bytes=2000)

    until(lambda: str(asked(proxy)).startswith("torn"), what="the cut")

    assert len(asked(proxy)) < len(SAID)
