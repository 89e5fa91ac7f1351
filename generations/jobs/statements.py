"""SQL of this package that the ORM cannot express.

`update_unlocked` is one statement where the ORM needs five: BEGIN, SELECT … FOR NO KEY UPDATE SKIP LOCKED, UPDATE,
SELECT and COMMIT. Every loop claims its rows with it each time it looks at its table, also when nothing is due.

The plan: PostgreSQL runs the inner SELECT once, because it is the argument of ARRAY, and stops after the rows that it
could lock. It then updates them by their primary key. tests/generations/jobs/test_statements.py compares the result
with the ORM's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from django.db import connection, models
from django.db.models.sql import UpdateQuery

from database import prepared
from database.columns import Columns
from database.statements import Write, execute_together

Row = TypeVar("Row", bound=models.Model)


def update_unlocked(rows: models.QuerySet[Row], **changes: Any) -> list[Row]:
    """Update the rows that no other transaction has locked, without waiting, and return them with their new values.

    Args:
        rows: May be ordered and limited. Joins to other tables do not lock these.
        changes: New values, as for `QuerySet.update`.
    """
    sql, parameters = _compile(rows, changes)
    return _execute(rows.model, sql, parameters)


class UpdateUnlocked(Generic[Row]):
    """A statement of `update_unlocked` that is compiled once, because that takes ten times as long as its execution.

    So its rows and changes must take the time from the database. Two parameters change: the value of one UUID column,
    and how many rows are updated at most.
    """

    def __init__(self, rows: models.QuerySet[Row], *, new_uuid: str, record: str = "", **changes: Any) -> None:
        """Compile the statement.

        Args:
            rows: May be ordered.
            new_uuid: The column that gets another UUID each time.
            record: An INSERT about the updated rows, executed with the update. It selects them from `{updated}`, by
                their new UUID, which is its only parameter.
            changes: New values of other columns, as for `QuerySet.update`.
        """
        placeholder = uuid4()
        self._model, self._record = rows.model, record
        self._sql, self._parameters = _compile(rows, {**changes, new_uuid: placeholder}, limit="LIMIT %s")
        # SQLite has no type for a UUID.
        self._to_database = rows.model._meta.get_field(new_uuid).get_db_prep_save  # type: ignore[union-attr]
        self._uuid_index = self._parameters.index(self._to_database(placeholder, connection))

    def execute(self, *, limit: int, new_uuid: UUID) -> list[Row]:
        """Update up to `limit` rows, and return them with their new values."""
        value = self._to_database(new_uuid, connection)
        parameters = [*self._parameters, limit]
        parameters[self._uuid_index] = value
        if not self._record:
            return _execute(self._model, self._sql, parameters)
        update = Write(self._sql, parameters, name="updated", table=self._model._meta.db_table)
        return [_columns_of(self._model).read(row) for row in execute_together(update, Write(self._record, [value]))]


def _compile(rows: models.QuerySet[Row], changes: Mapping[str, Any], *, limit: str = "") -> tuple[str, list[Any]]:
    model, quote = rows.model, connection.ops.quote_name
    update = UpdateQuery(model)
    update.add_update_values(dict(changes))
    set_sql, set_params = update.get_compiler(connection=connection).as_sql()
    keys_sql, keys_params = rows.values("pk").query.sql_with_params()
    key = quote(str(model._meta.pk.column))
    if connection.features.has_select_for_update_skip_locked:
        locked = f"{keys_sql} {limit} FOR NO KEY UPDATE OF {quote(model._meta.db_table)} SKIP LOCKED"
        where = f"{key} = ANY(ARRAY({locked}))"
    else:
        # SQLite has one writer at a time, so no row is locked by another.
        where = f"{key} IN ({keys_sql} {limit})"
    return f"{set_sql} WHERE {where} RETURNING {_columns_of(model).sql}", [*set_params, *keys_params]


def _execute(model: type[Row], sql: str, parameters: Sequence[Any]) -> list[Row]:
    columns = _columns_of(model)
    with prepared.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [columns.read(row) for row in cursor.fetchall()]


@cache
def _columns_of(model: type[Row]) -> Columns[Row]:
    return Columns(model)
