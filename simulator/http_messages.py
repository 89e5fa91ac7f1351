"""How bytes go out: politely, or in one of the ways in which networks and servers fail.

The faults of the wire run in real time, whatever the simulator's speed: the deadlines they are
meant to meet are the client's, and those are real.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

DRIP_SECONDS = 0.3
# Longer than any client's patience; the threads are not kept for ever all the same.
HANG_SECONDS_MAX = 600.0
ENDLESS_BYTES_MAX = 2 * 1024**3
CHUNK = b"\0" * 65536


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a client asked."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body or b"null")


@dataclass(frozen=True, kw_only=True)
class Line:
    """The connection to one client."""

    socket: socket.socket
    stopping: threading.Event

    def gone(self, seconds: float) -> bool:
        """Wait so long; true as soon as the client hangs up or the simulator ends."""
        deadline = time.monotonic() + seconds
        while not self.stopping.is_set() and (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self.socket], [], [], min(left, 0.2))
            if readable:
                return True
        return self.stopping.is_set()


Manner = Callable[[Line, "Reply"], bool]
"""Sends a reply; answers whether the connection may be used again."""


def plainly(line: Line, reply: Reply) -> bool:
    line.socket.sendall(head(reply, length=len(reply.body)) + reply.body)
    return True


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the client is answered, and how."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    manner: Manner = plainly


def as_json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status=status, headers={"Content-Type": "application/json", **(headers or {})}, body=encoded(body))


def encoded(body: Any) -> bytes:
    """Compact JSON in UTF-8, as fal writes it."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # An order with half a surrogate pair is quoted in its own refusal; only an escape can say that.
        return json.dumps(body, separators=(",", ":")).encode()


def head(reply: Reply, *, length: int | None) -> bytes:
    """The status line and the headers; without a length the body ends with the connection."""
    framing = {"Content-Length": str(length)} if length is not None else {"Connection": "close"}
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in {**reply.headers, **framing}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def without_body(line: Line, reply: Reply) -> bool:
    """For HEAD: the headers of the reply, and nothing else."""
    line.socket.sendall(head(reply, length=len(reply.body)))
    return True


def drop(line: Line, reply: Reply) -> bool:
    """Not a word; the connection closes in good order."""
    return False


def reset(line: Line, reply: Reply) -> bool:
    """Not a word; the connection is torn down (TCP RST)."""
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Closed right here: the server's own way of closing would send a polite FIN first.
    os.close(line.socket.detach())
    return False


def hang(line: Line, reply: Reply) -> bool:
    """Not a word; the connection stays open until the client has had enough."""
    line.gone(HANG_SECONDS_MAX)
    return False


def drip(line: Line, reply: Reply) -> bool:
    """Headers at once, then a byte every 0.3 seconds: no read ever times out."""
    line.socket.sendall(head(reply, length=len(reply.body)))
    for byte in reply.body:
        line.socket.sendall(bytes([byte]))
        if line.gone(DRIP_SECONDS):
            break
    return False


def truncated(line: Line, reply: Reply) -> bool:
    """The full Content-Length, half of the body."""
    line.socket.sendall(head(reply, length=len(reply.body)) + reply.body[: len(reply.body) // 2])
    return False


def cut_without_length(line: Line, reply: Reply) -> bool:
    """No Content-Length, half of the body: to most clients this looks complete."""
    line.socket.sendall(head(reply, length=None) + reply.body[: len(reply.body) // 2])
    return False


def endless(line: Line, reply: Reply) -> bool:
    """No Content-Length; zeros for as long as somebody reads."""
    line.socket.sendall(head(reply, length=None) + reply.body)
    sent = 0
    while sent < ENDLESS_BYTES_MAX and not line.stopping.is_set():
        line.socket.sendall(CHUNK)
        sent += len(CHUNK)
    return False


def declared_huge(line: Line, reply: Reply) -> bool:
    """Five gigabytes are announced; the first bytes come, then nothing."""
    line.socket.sendall(head(reply, length=5 * 10**9) + reply.body[:1000])
    line.gone(HANG_SECONDS_MAX)
    return False


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request" if status == 499 else "Unknown"
