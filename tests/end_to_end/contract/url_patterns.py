"""Every address of Limn, read from its URL patterns, so that a new one cannot be missed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

_NAMED = re.compile(r"<(?:\w+:)?(?P<name>\w+)>")


@dataclass(frozen=True)
class Door:
    """One pattern."""

    route: str
    """With its names in pointed brackets, as Django writes it."""
    name: str

    @property
    def names(self) -> set[str]:
        return set(_NAMED.findall(self.route))

    def address(self, things: dict[str, Any]) -> str:
        return "/" + _NAMED.sub(lambda found: str(things[found["name"]]), self.route)


def doors(below: str) -> list[Door]:
    """Those whose address begins so; those outside the API and the admin, for an empty one."""
    found = [door for door in _walk(get_resolver().url_patterns) if door.route.startswith(below)]
    return found if below else [door for door in found if not door.route.startswith(("api/", "admin/"))]


def _walk(patterns: Any, before: str = "") -> Iterator[Door]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield Door(route, pattern.name or "")
