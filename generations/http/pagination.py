"""Pagination of lists by keyset: `NewestFirst` and `OldestFirst` for the API, `newest` for HTML pages.

A page begins after a row, not at an offset. Rows that are added in the meantime therefore shift nothing, and every page
costs the same, however deep it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

ROWS = 20
ROWS_MAX = 100


class NewestFirst(CursorPagination):
    """DRF's cursor pagination by primary key, strict about the query parameters `limit` and `cursor`."""

    ordering = "-id"
    page_size = ROWS
    page_size_query_param = "limit"
    page_size_query_description = f"Number of results per page, from 1 to {ROWS_MAX}."
    max_page_size = ROWS_MAX
    cursor_query_description = "The page to read. Part of the URLs `next` and `previous`."

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        self._parse_key = queryset.model._meta.pk.to_python
        return super().paginate_queryset(queryset, request, view)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Check the cursor. DRF would send any text to the database, which fails on some of it."""
        try:
            cursor = super().decode_cursor(request)
            # Primary keys are unique, so every cursor that was issued has the key of a row as its position.
            if cursor is not None:
                self._parse_key(cursor.position or "missing")
        except (NotFound, ValidationError):
            raise ParseError("This cursor is invalid. Copy it from `next` or `previous`.") from None
        return cursor

    def get_page_size(self, request: Request) -> int:
        """Check the limit. DRF would replace a wrong one by the default."""
        # isascii: isdigit is also true for digits of other scripts. Nine digits bound the conversion.
        limit = request.query_params.get(self.page_size_query_param, str(ROWS))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= ROWS_MAX):
            raise ParseError(f"limit must be a whole number from 1 to {ROWS_MAX}.")
        return int(limit)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Add the range of the limit to the OpenAPI document."""
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] = {"type": "integer", "minimum": 1, "maximum": ROWS_MAX}
        return parameters

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page in OpenAPI 3.1. DRF's own description has `nullable`, which 3.1 no longer knows."""
        url = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": url, "previous": url, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}


class OldestFirst(NewestFirst):
    ordering = "id"


# --- HTML pages -----------------------------------------------------------------------------------------------------

Row = TypeVar("Row", bound=Model)

PAGE_ROWS = 24


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    """One page of rows, newest first."""

    rows: list[Row]
    before: str
    """The value of the query parameter `before` for the next, older page. Empty on the last page."""
    is_first: bool


def newest(rows: QuerySet[Row], *, before: str | None, size: int = PAGE_ROWS) -> Page[Row]:
    """Return the newest `size` rows that are older than the primary key `before`.

    A `before` that is no primary key is ignored: a mangled link shows the first page instead of an error.
    """
    try:
        key = rows.model._meta.pk.to_python(before) if before else None
    except ValidationError:
        key = None
    older = rows.order_by("-pk") if key is None else rows.order_by("-pk").filter(pk__lt=key)
    # One row more than is shown tells whether there is another page.
    found = list(older[: size + 1])
    has_more = len(found) > size
    return Page(rows=found[:size], before=str(found[size - 1].pk) if has_more else "", is_first=key is None)
