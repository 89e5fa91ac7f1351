"""Sends HTTP requests over kept connections from one thread, at little cost, and measures each answer.

Requests are complete messages in bytes, made before the clock starts. `closed_loop` sends the next request of a
connection when the answer to the last has come; `open_loop` sends at fixed times, whatever has been answered, so that
the wait of requests behind a slow one counts.
"""

from __future__ import annotations

import re
import select
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from statistics import median, quantiles

TIMEOUT_SECONDS = 60.0
_CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_WITHOUT_BODY = (204, 304)

Answer = tuple[int, bytes, bytes]


class LoadError(Exception):
    """The server did not do what the benchmark needs, so the numbers would mean nothing."""


@dataclass
class Load:
    """What one run of requests has measured."""

    seconds: float = 0
    """From the first request to the last answer."""
    client_cpu_seconds: float = 0
    durations: list[float] = field(default_factory=list)
    """Of each answer with an expected status, in seconds."""
    statuses: Counter[int] = field(default_factory=Counter)
    head: bytes = b""
    body: bytes = b""
    """Of the last answer."""

    @property
    def per_second(self) -> float:
        return len(self.durations) / self.seconds if self.seconds else 0

    def percentile(self, percent: int) -> float:
        """Return this percentile of the durations, in milliseconds."""
        if len(self.durations) < 2:
            return 1000 * sum(self.durations)
        cut = (
            median(self.durations)
            if percent == 50
            else quantiles(self.durations, n=100, method="inclusive")[percent - 1]
        )
        return 1000 * cut


class Connection:
    """One kept connection. At most one request is under way on it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.started = 0.0
        self._received = b""
        self.socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self.socket.close()

    def is_closed_by_server(self) -> bool:
        """Return whether the server has closed a connection on which nothing is under way."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def send(self, request: bytes, started: float) -> None:
        self.started, self._received = started, b""
        self.socket.sendall(request)

    def receive(self) -> Answer | None:
        """Read what has come. Returns status, head and body of the answer once it is complete."""
        data = self.socket.recv(262_144)
        if not data:
            raise LoadError(f"the server closed the connection after {self._received[:200]!r}")
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        status, head = int(self._received[9:12]), self._received[:end]
        if status in _WITHOUT_BODY:
            return status, head, b""
        if length := _CONTENT_LENGTH.search(head):
            body = self._received[end + 4 :]
            return (status, head, body) if len(body) >= int(length[1]) else None
        # The only other framing: chunked, whose end is an empty chunk.
        if not self._received.endswith(b"0\r\n\r\n"):
            return None
        return status, head, self._received[end + 4 :]


def closed_loop(
    port: int,
    requests: Iterable[bytes],
    *,
    connections: int,
    expected: tuple[int, ...] = (200,),
    seconds: float | None = None,
) -> Load:
    """Send the requests over all connections at once, until they or the time run out.

    Args:
        requests: Complete HTTP requests.
        expected: Answers that count. Any other raises LoadError, except 503, which is counted in `statuses` only.
        seconds: No request is sent after this time. None: all are sent.
    """
    load, remaining = Load(), iter(requests)
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        pool = [stack.enter_context(closing(Connection(port))) for _ in range(connections)]
        cpu, began = time.process_time(), time.perf_counter()
        end = began + seconds if seconds is not None else float("inf")
        for connection in pool:
            if (request := next(remaining, None)) is not None:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                connection.send(request, time.perf_counter())
        while selector.get_map():
            for connection in _ready(selector):
                if (answer := connection.receive()) is None:
                    continue
                now = time.perf_counter()
                _record(load, answer, now - connection.started, expected)
                request = next(remaining, None) if now < end else None
                if request is None:
                    selector.unregister(connection.socket)
                else:
                    connection.send(request, time.perf_counter())
        load.seconds, load.client_cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return load


def open_loop(port: int, requests: Iterable[bytes], *, per_second: float, expected: tuple[int, ...]) -> Load:
    """Send one request every 1 / `per_second` seconds. Durations count from the time at which it was due."""
    load = Load()
    idle: list[Connection] = []
    due = ((request, number / per_second) for number, request in enumerate(requests))
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        cpu, began = time.process_time(), time.perf_counter()
        upcoming = next(due, None)
        while upcoming is not None or selector.get_map():
            now = time.perf_counter() - began
            while upcoming is not None and upcoming[1] <= now:
                # The server closes a connection on which no request came for a while.
                while idle and idle[-1].is_closed_by_server():
                    idle.pop().close()
                connection = idle.pop() if idle else stack.enter_context(closing(Connection(port)))
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                connection.send(upcoming[0], began + upcoming[1])
                upcoming = next(due, None)
            wait = None if upcoming is None else max(0.0, upcoming[1] - (time.perf_counter() - began))
            for connection in _ready(selector, wait):
                if (answer := connection.receive()) is not None:
                    _record(load, answer, time.perf_counter() - connection.started, expected)
                    selector.unregister(connection.socket)
                    idle.append(connection)
        load.seconds, load.client_cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return load


def request(
    method: str, path: str, headers: dict[str, str], body: bytes = b"", *, content_type: str = "application/json"
) -> bytes:
    """Return a complete HTTP request to this machine."""
    lines = {"Host": "127.0.0.1", **headers}
    if body:
        lines |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def fetch(port: int, message: bytes, expected: tuple[int, ...] = (200,)) -> bytes:
    """Send one request and return the body of its answer."""
    return closed_loop(port, [message], connections=1, expected=expected).body


def answers(port: int) -> bool:
    """Return whether a server listens on this port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cycle(messages: list[bytes]) -> Iterator[bytes]:
    """Yield the messages over and over."""
    while True:
        yield from messages


def _ready(selector: selectors.BaseSelector, wait: float | None = None) -> list[Connection]:
    events = selector.select(TIMEOUT_SECONDS if wait is None else wait)
    if not events and wait is None:
        raise LoadError(f"no answer within {TIMEOUT_SECONDS:g} s")
    return [key.data for key, _ in events]


def _record(load: Load, answer: Answer, duration: float, expected: tuple[int, ...]) -> None:
    status, load.head, load.body = answer
    load.statuses[status] += 1
    if status in expected:
        load.durations.append(duration)
    elif status != 503:
        raise LoadError(f"the server answered {status}: {load.body[:500]!r}")
