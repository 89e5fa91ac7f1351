"""Measures what one request costs: SQL statements and Python calls. Neither depends on the machine or on its load.

A request passes through Django's WSGI handler, as from a web server: middleware, signals, and the connection to the
database count. Use it in tests marked `django_db(transaction=True)`; otherwise Django keeps one connection and one
transaction for the whole test, and savepoints replace transactions.
"""

from __future__ import annotations

import cProfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, reset_queries
from django.test import RequestFactory

# The first requests load views, compile regular expressions, fill caches and take tokens of the rate limit.
WARM_UP_REQUESTS = 3


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request, as `measure` sends it."""

    path: str
    method: str = "GET"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def environ(self) -> dict[str, Any]:
        """The WSGI environment. Each request needs its own, because reading the body consumes it."""
        return (
            RequestFactory()
            .generic(self.method, self.path, self.body, content_type="application/json", headers=dict(self.headers))
            .environ
        )


@dataclass(frozen=True, kw_only=True)
class Response:
    """The response to a measured request."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, kw_only=True)
class RequestCost:
    """What one request costs."""

    response: Response
    statements: tuple[str, ...]
    """All statements that Django has sent, those of transactions and savepoints included."""
    calls: int
    """All calls that cProfile counts, those of built-in functions included."""


def measure(next_request: Callable[[], Request]) -> RequestCost:
    """Send requests until the process is warm, and measure the next two.

    Statements and calls are measured with one request each, because logging a statement takes calls.

    Args:
        next_request: Returns the next request. Five are sent, so an order needs a new idempotency key each time.
    """
    handler = WSGIHandler()
    if connection.vendor == "postgresql":
        # Earlier tests may have left several connections, of which each would prepare its statements first.
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
    for _ in range(WARM_UP_REQUESTS):
        _send(handler, next_request().environ)
    environ = next_request().environ
    connection.force_debug_cursor = True
    try:
        # The handler forgets earlier statements when a request starts.
        _send(handler, environ)
        statements = tuple(str(query["sql"]) for query in connection.queries_log)
    finally:
        connection.force_debug_cursor = False
        reset_queries()
    environ = next_request().environ
    profile = cProfile.Profile()
    response = _send(handler, environ, profile)
    return RequestCost(
        response=response, statements=statements, calls=sum(entry.callcount for entry in profile.getstats())
    )


def _send(handler: WSGIHandler, environ: dict[str, Any], profile: cProfile.Profile | None = None) -> Response:
    """Answer a request as a web server does: read the whole response and close it."""
    started: list[tuple[str, Mapping[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], None]:
        started.append((status, dict(headers)))
        return lambda chunk: None

    if profile is not None:
        profile.enable()
    try:
        response = handler(environ, start_response)
        content = b"".join(response)
        response.close()
    finally:
        if profile is not None:
            profile.disable()
    status, headers = started[0]
    return Response(status=int(status.partition(" ")[0]), headers=headers, content=content)
