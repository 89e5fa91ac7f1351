"""Raw SQL of the workers. Each statement says why it is not the ORM's, and which plan it relies on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from database import prepared


class DueNames:
    """Finds out which of several kinds of work have due rows, with one statement for all of them.

    The ORM would need one statement for each kind, and every process of `manage.py work` asks once a second. The
    statement is compiled once, because compiling it takes twenty times as long as its execution. So a query must take
    the time from the database (`Now()`), never from Python.

    Plan: each `EXISTS` stops at the first row that it finds in the partial index of its kind (`generations_due` and the
    like), and reads no other table.
    """

    def __init__(self, due: Mapping[str, QuerySet[Any]]) -> None:
        parts: list[str] = []
        self._parameters: list[Any] = []
        for name, query in due.items():
            sql, parameters = query.order_by().values("pk")[:1].query.sql_with_params()
            parts.append(f"SELECT %s AS name WHERE EXISTS ({sql})")
            self._parameters += [name, *parameters]
        self._sql = " UNION ALL ".join(parts)

    def find(self) -> list[str]:
        """Return the names whose queries find a row now."""
        if not self._sql:
            return []
        with prepared.cursor() as cursor:
            cursor.execute(self._sql, self._parameters)
            return [name for (name,) in cursor.fetchall()]
