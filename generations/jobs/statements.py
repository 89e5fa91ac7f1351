"""SQL of this package that the ORM cannot express.

`update_unlocked` is one statement where the ORM needs five: BEGIN, SELECT … FOR UPDATE SKIP LOCKED, UPDATE, SELECT and
COMMIT. Every loop claims its rows with it each time it looks at its table, also when nothing is due.

The plan: PostgreSQL runs the inner SELECT once, because it is the argument of ARRAY, and stops after the rows that it
could lock. It then updates them by their primary key. tests/generations/jobs/test_statements.py compares the result
with the ORM's.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from django.db import connection, models
from django.db.models.sql import UpdateQuery

from database import prepared
from database.columns import Columns

Row = TypeVar("Row", bound=models.Model)


def update_unlocked(rows: models.QuerySet[Row], **changes: Any) -> list[Row]:
    """Update the rows that no other transaction has locked, without waiting, and return them with their new values.

    Args:
        rows: May be ordered and limited. Joins to other tables do not lock these.
        changes: New values, as for `QuerySet.update`.
    """
    model, quote = rows.model, connection.ops.quote_name
    update = UpdateQuery(model)
    update.add_update_values(changes)
    set_sql, set_params = update.get_compiler(connection=connection).as_sql()
    keys_sql, keys_params = rows.values("pk").query.sql_with_params()
    key = quote(str(model._meta.pk.column))
    if connection.features.has_select_for_update_skip_locked:
        where = f"{key} = ANY(ARRAY({keys_sql} FOR UPDATE OF {quote(model._meta.db_table)} SKIP LOCKED))"
    else:
        # SQLite has one writer at a time, so no row is locked by another.
        where = f"{key} IN ({keys_sql})"
    columns = _columns_of(model)
    with prepared.cursor() as cursor:
        cursor.execute(f"{set_sql} WHERE {where} RETURNING {columns.sql}", [*set_params, *keys_params])
        return [columns.read(row) for row in cursor.fetchall()]


@cache
def _columns_of(model: type[Row]) -> Columns[Row]:
    return Columns(model)
