"""Maps the method and path of an HTTP request to the handler that answers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulator.http_messages import HttpRequest, HttpResponse, json_response

Handler = Callable[..., HttpResponse]
"""Called with the HttpRequest and the named groups of the route's pattern."""


@dataclass(frozen=True)
class Route:
    """A method (`*` for any), a regular expression for the whole path, and a handler."""

    method: str
    pattern: str
    handler: Handler

    def match(self, http_request: HttpRequest) -> Mapping[str, str] | None:
        """Return the named groups of the pattern, or None if the route does not apply."""
        # HEAD is handled like GET; the server leaves the body out.
        method = "GET" if http_request.method == "HEAD" else http_request.method
        found = re.fullmatch(self.pattern, http_request.path) if self.method in (method, "*") else None
        return None if found is None else found.groupdict()


class Router:
    """Calls the handler of the first route that matches; 404 if none does."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes = routes

    def __call__(self, http_request: HttpRequest) -> HttpResponse:
        for route in self._routes:
            if (groups := route.match(http_request)) is not None:
                return route.handler(http_request, **groups)
        return json_response({"detail": "Not found"}, 404)
