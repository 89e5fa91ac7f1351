"""Statements that PostgreSQL plans once per connection, not with each execution.

Planning a statement that finds a few rows by their keys takes longer than executing it. `Prepared` sends `PREPARE` to a
connection the first time, and `EXECUTE` from then on, both through Django's cursors. The name of a statement is a hash
of its text, so it means the same on every connection. Behind a pooler that gives each transaction another connection,
such as PgBouncer, a prepared statement may be missing: then it is executed in the ordinary way, and the process
prepares nothing from then on. SQLite has no prepared statements on the server.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper
from psycopg import errors

logger = logging.getLogger(__name__)

# Set when a connection did not have what was prepared on it.
is_behind_pooler = threading.Event()


class Prepared:
    """A SELECT for one row."""

    def __init__(self, sql: str, *types: str) -> None:
        """Declare a statement.

        Args:
            sql: The statement, with a `%s` for each parameter, in the order of the types.
            types: The types of the parameters in PostgreSQL.
        """
        self._sql = sql
        numbered = sql % tuple(f"${number}" for number in range(1, len(types) + 1))
        self.name = f"limn_{hashlib.sha256(numbered.encode()).hexdigest()[:32]}"
        self._prepare_sql = f"PREPARE {self.name} ({', '.join(types)}) AS {numbered}"
        self._execute_sql = f"EXECUTE {self.name} ({', '.join(['%s'] * len(types))})"

    def fetch_one(self, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
        """Execute the statement, and return the first row, or None without one."""
        with connection.cursor() as cursor:
            # A statement that fails ends a transaction, so within one nothing is tried.
            can_be_prepared = connection.vendor == "postgresql" and not connection.in_atomic_block
            if not can_be_prepared or is_behind_pooler.is_set() or not self._execute(cursor, parameters):
                cursor.execute(self._sql, parameters)
            row: tuple[Any, ...] | None = cursor.fetchone()
        return row

    def _execute(self, cursor: CursorWrapper, parameters: Sequence[Any]) -> bool:
        """Return whether the server has executed the prepared statement."""
        # psycopg's connection is the one to the server; Django's uses another one of the pool for each request.
        prepared: set[str] = vars(connection.connection).setdefault("limn_prepared", set())
        try:
            if self.name not in prepared:
                cursor.execute(self._prepare_sql)
                prepared.add(self.name)
            cursor.execute(self._execute_sql, parameters)
        except DatabaseError as error:
            match error.__cause__:
                case errors.InvalidSqlStatementName() | errors.DuplicatePreparedStatement():
                    # The set of names says nothing about the connection, and it is not asked again.
                    is_behind_pooler.set()
                    logger.warning("prepared statements are off: a pooler changes the connections to the database")
                case errors.FeatureNotSupported():
                    # A migration has changed a column since. The next execution prepares it again.
                    cursor.execute(f"DEALLOCATE {self.name}")
                    prepared.discard(self.name)
                case _:
                    raise
            return False
        return True
