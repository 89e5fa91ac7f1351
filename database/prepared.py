"""Statements that PostgreSQL plans once per connection, not with each execution.

Planning a statement that finds or writes a few rows by their keys takes longer than executing it. Django puts the
parameters into the text of a statement, so no two texts are the same. The cursors of this module send them apart, and
psycopg then prepares a text that it has sent to a connection a few times (`prepare_threshold` in the settings). So they
are meant for hand-written statements, whose text is always the same. Behind a pooler nothing is prepared
(`database.timeouts`). SQLite has no server to be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.utils import CursorWrapper
from psycopg import RawCursor, errors, pq

from database.vendor import vendor

Parameters = Sequence[Any] | Mapping[str, Any]

# A statement with more parameters is not prepared. It writes many rows, and each number of rows is another statement,
# for which a connection of the server would keep megabytes.
PARAMETERS_MAX = 300

# %s, %(name)s, and %% for a percent sign.
_PLACEHOLDER = re.compile(r"%(?:s|%|\((?P<name>\w+)\)s)")


def cursor() -> CursorWrapper:
    """Return a cursor as `connection.cursor()` does, whose statements are prepared."""
    if vendor() != "postgresql":
        return connection.cursor()
    # As `connection.cursor()` does, with another class of cursor.
    direct = connections[DEFAULT_DB_ALIAS]
    direct.close_if_health_check_failed()
    direct.ensure_connection()
    opened: Any = _Cursor(direct.connection)
    return direct.make_debug_cursor(opened) if direct.queries_logged else direct.make_cursor(opened)


def fetch_one(sql: str, parameters: Parameters) -> tuple[Any, ...] | None:
    """Execute a SELECT, and return its first row, or None without one."""
    with cursor() as opened:
        opened.execute(sql, parameters)
        row: tuple[Any, ...] | None = opened.fetchone()
    return row


class _Cursor(RawCursor[Any]):
    """Sends statements with the placeholders of PostgreSQL.

    psycopg can translate Django's placeholders as well, but does it again each time for more than fifty parameters.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> _Cursor:
        numbered, names = _numbered(query)
        parameters = [params[name] for name in names] if names else params
        if parameters is not None and len(parameters) > PARAMETERS_MAX:
            options["prepare"] = False
        try:
            super().execute(numbered, parameters, **options)
        except errors.FeatureNotSupported:
            # A migration has changed the type of a column since the connection prepared the statement. Within a
            # transaction nothing can be tried again; its rollback makes psycopg forget what was prepared.
            if self.connection.info.transaction_status != pq.TransactionStatus.IDLE:
                raise
            self.connection.execute("DEALLOCATE ALL")
            super().execute(numbered, parameters, **options)
        if self._query is None:
            # Django logs this, and psycopg does not set it if the statement was prepared.
            self._query = SimpleNamespace(query=numbered.encode())  # type: ignore[assignment]
        return self


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return a statement with numbered placeholders, and the names of its parameters in their order, if it names any.

    A parameter that is named twice has one number.
    """
    names: dict[str, int] = {}
    count = 0

    def number(match: re.Match[str]) -> str:
        nonlocal count
        if match[0] == "%%":
            return "%"
        if match["name"] is None:
            count += 1
            return f"${count}"
        return f"${names.setdefault(match['name'], len(names) + 1)}"

    numbered = _PLACEHOLDER.sub(number, sql)
    return numbered, tuple(names)
