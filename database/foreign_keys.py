"""Filters by the row that a foreign key refers to, in a way that keeps long lists fast."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import QuerySet

Rows = TypeVar("Rows", bound=QuerySet[Any])


def filter_by(rows: Rows, relation: str, **conditions: object) -> Rows:
    """Return the rows whose foreign key `relation` refers to the one row that fulfils `conditions`.

    `rows.filter(relation__…)` is the same with a join. Here PostgreSQL looks the key up first, and then reads an index
    that begins with the foreign key in its order; after a join it would read and sort all rows with that key.
    """
    related = rows.model._meta.get_field(relation).remote_field.model
    return rows.filter(**{relation: related._default_manager.filter(**conditions).values("pk")[:1]})
