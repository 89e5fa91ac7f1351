"""Chooses the representation of a response: JSON at once for the clients that accept it, which are nearly all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

JSON = "application/json"


class JsonFirst(DefaultContentNegotiation):
    """DRF's negotiation, which parses the headers and the query of a request only if they can make a difference."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        accepts_json = request.META.get("HTTP_ACCEPT", "*/*") in {"*/*", JSON}
        if accepts_json and first.media_type == JSON and not request.META.get("QUERY_STRING") and not format_suffix:
            return first, JSON
        selected: Any = super().select_renderer(request, renderers, format_suffix)
        return selected[0], selected[1]
