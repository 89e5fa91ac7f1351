"""The URL patterns of Limn, read from Django's resolver, so that the tests include every new one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

_PARAMETER = re.compile(r"<(?:\w+:)?(?P<name>\w+)>")


@dataclass(frozen=True)
class Route:
    """One URL pattern."""

    pattern: str
    """As Django writes it, with the parameters in angle brackets."""
    name: str

    @property
    def parameters(self) -> set[str]:
        """The names of the parameters."""
        return set(_PARAMETER.findall(self.pattern))

    def path(self, values: dict[str, Any]) -> str:
        """The path with these values of the parameters."""
        return "/" + _PARAMETER.sub(lambda found: str(values[found["name"]]), self.pattern)


def admin_routes() -> list[Route]:
    return [route for route in _walk(get_resolver().url_patterns) if route.pattern.startswith("admin/")]


def page_routes() -> list[Route]:
    """All routes except those of the API and the admin."""
    return [route for route in _walk(get_resolver().url_patterns) if not route.pattern.startswith(("api/", "admin/"))]


def _walk(patterns: Any, prefix: str = "") -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield Route(path, pattern.name or "")
