"""Which address is answered by whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulator.http_messages import Call, Reply, as_json

Answer = Callable[..., Reply]


@dataclass(frozen=True)
class Route:
    """A method, a pattern for the whole path, and who answers; the pattern's groups are passed on."""

    method: str
    pattern: str
    answer: Answer

    def match(self, call: Call) -> Mapping[str, str] | None:
        # HEAD is answered like GET; the server leaves the body out.
        method = "GET" if call.method == "HEAD" else call.method
        found = re.fullmatch(self.pattern, call.path) if self.method in (method, "*") else None
        return None if found is None else found.groupdict()


class Router:
    """The first route that fits answers."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes = routes

    def __call__(self, call: Call) -> Reply:
        for route in self._routes:
            if (groups := route.match(call)) is not None:
                return route.answer(call, **groups)
        return as_json({"detail": "Not found"}, 404)
