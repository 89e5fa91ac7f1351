"""Pages of rows, newest first. The last row's key is the bookmark, so that a page costs the same at any depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)

ROWS_MAX = 24


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    rows: list[Row]
    before: str
    """What `?before=` must say for the older rows; empty on the last page."""
    is_first: bool


def newest(rows: QuerySet[Row], *, before: str | None, size: int = ROWS_MAX) -> Page[Row]:
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
