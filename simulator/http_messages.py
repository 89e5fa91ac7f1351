"""HTTP requests and responses as the simulator sees them, and the normal way to send a response.

Handlers receive an `HttpRequest` and return an `HttpResponse`. The server then calls `HttpResponse.send`, which is
`send_whole` unless a scenario replaced it with a function of `response_faults`.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A parsed HTTP request with its complete body."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """Parse the body; an empty body is None. Raises ValueError if it is not JSON."""
        return json.loads(self.body or b"null")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The open socket of one client, and the event that says that the simulator is stopping."""

    socket: socket.socket
    stopping: threading.Event


Sender = Callable[[Connection, "HttpResponse"], bool]
"""Writes a response to a connection. Returns whether the connection can be used for another request."""


def send_whole(connection: Connection, response: HttpResponse) -> bool:
    """Send the head and the complete body."""
    connection.socket.sendall(response_head(response, length=len(response.body)) + response.body)
    return True


def send_head_only(connection: Connection, response: HttpResponse) -> bool:
    """Answer a HEAD request: the headers of the response, with the length of the body that GET would send."""
    connection.socket.sendall(response_head(response, length=len(response.body)))
    return True


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """A response, and the function that sends it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    send: Sender = send_whole


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a response with this JSON body."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    return HttpResponse(status=status, headers=headers, body=encode_json(body))


def encode_json(body: Any) -> bytes:
    """Return compact JSON in UTF-8, the form that fal sends."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # A validation error quotes the inputs that it refuses. A lone surrogate in them has no UTF-8 form, only an
        # ASCII escape.
        return json.dumps(body, separators=(",", ":")).encode()


def response_head(response: HttpResponse, *, length: int | None) -> bytes:
    """Return the status line and the headers.

    Args:
        length: Value of Content-Length in bytes. None omits the header: the body then ends with the connection.
    """
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        # 499 is nginx's code, which fal uses for cancelled requests; the standard library does not know it.
        phrase = "Client Closed Request" if response.status == 499 else "Unknown"
    framing = {"Content-Length": str(length)} if length is not None else {"Connection": "close"}
    lines = [f"HTTP/1.1 {response.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in {**response.headers, **framing}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
