"""Pagination of lists, for the API and for HTML pages, by keyset.

A page begins after a row, not at an offset. So rows that are added meanwhile shift nothing, and every page costs the
same, however deep it is.
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
    ordering = "-id"
    page_size = ROWS
    page_size_query_param = "limit"
    page_size_query_description = f"How many, from 1 to {ROWS_MAX}."
    max_page_size = ROWS_MAX
    cursor_query_description = "Where to go on: copied from `next` or `previous`."

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        self._to_key = queryset.model._meta.pk.to_python
        return super().paginate_queryset(queryset, request, view)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """DRF asks the database whatever a cursor says, and lets it choke on nonsense."""
        try:
            cursor = super().decode_cursor(request)
            # Keys are unique, so every cursor of ours names one.
            if cursor is not None:
                self._to_key(cursor.position or "nothing")
        except (NotFound, ValidationError):
            raise ParseError("This cursor is none of ours.") from None
        return cursor

    def get_page_size(self, request: Request) -> int:
        asked = request.query_params.get(self.page_size_query_param, str(ROWS))
        if not (asked.isascii() and asked.isdigit() and 1 <= int(asked[:9]) <= ROWS_MAX):
            raise ParseError(f"limit is a whole number from 1 to {ROWS_MAX}.")
        return int(asked)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """DRF calls the limit an integer, and says no more."""
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] = {"type": "integer", "minimum": 1, "maximum": ROWS_MAX}
        return parameters

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """DRF still says `nullable`, which OpenAPI 3.1 does not know."""
        address = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": address, "previous": address, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}


class OldestFirst(NewestFirst):
    ordering = "id"


# --- HTML pages -----------------------------------------------------------------------------------------------------

Row = TypeVar("Row", bound=Model)

PAGE_ROWS = 24


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    rows: list[Row]
    before: str
    """What `?before=` must say for the older rows; empty on the last page."""
    is_first: bool


def newest(rows: QuerySet[Row], *, before: str | None, size: int = PAGE_ROWS) -> Page[Row]:
    """A bookmark that makes no sense is taken for none."""
    bookmark = _bookmark(rows, before)
    older = rows.order_by("-pk") if bookmark is None else rows.order_by("-pk").filter(pk__lt=bookmark)
    # One more than is shown tells whether there are any beyond.
    found = list(older[: size + 1])
    more = len(found) > size
    return Page(rows=found[:size], before=str(found[size - 1].pk) if more else "", is_first=bookmark is None)


def _bookmark(rows: QuerySet[Row], text: str | None) -> Any:
    try:
        return rows.model._meta.pk.to_python(text) if text else None
    except ValidationError:
        return None
