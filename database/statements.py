"""Several writes as one statement: one round trip to the database, and all or nothing.

PostgreSQL executes them together, each in a common table expression. SQLite runs in this process, so a round trip costs
nothing there, and it has no such expressions for writes: it executes them one after another, in one transaction.

The apps keep their SQL in modules of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction
from django.db.models import Model

from database import prepared
from database.vendor import vendor

Row = tuple[Any, ...]
# Of SQLite since version 3.32 (32,766). PostgreSQL takes twice as many, which a batch of 200 does not reach.
INSERT_PARAMETERS_MAX = 32_000
SENT_AS_THEY_ARE = (models.BooleanField, models.CharField, models.DateTimeField, models.TextField, models.UUIDField)


@dataclass(frozen=True)
class Write:
    """An INSERT or UPDATE in SQL.

    `{name}` in the SQL stands for the rows that the earlier step of this name has written: on PostgreSQL what it
    returned, on SQLite its whole table. So such a step also names the rows that it needs by a condition.
    """

    sql: str
    parameters: Sequence[Any] = ()
    name: str = ""
    table: str = ""


@dataclass(frozen=True)
class Insert:
    """The insertion of new rows of one model. Rows with a primary key made by the database do not learn it."""

    rows: Sequence[Model]


Step = Write | Insert


Read = tuple[str, Sequence[Any]]
"""A subquery in SQL for one value that the writes do not change, and its parameters."""


def execute_together(*steps: Step, reads: Sequence[Read] = ()) -> list[Row]:
    """Execute the writes, all of them or none, and return the rows that the first one returns by RETURNING.

    If the first one returns nothing, SQLite does not execute the others. PostgreSQL does, so they must read the rows of
    the first one, or the caller must roll back.

    Args:
        reads: What to read beside: its values are added at the end of each row.
    """
    return _in_one_statement(steps, reads) if vendor() == "postgresql" else _one_by_one(steps, reads)


def _in_one_statement(steps: Sequence[Step], reads: Sequence[Read]) -> list[Row]:
    names = [step.name if isinstance(step, Write) and step.name else f"step_{n}" for n, step in enumerate(steps)]
    places = dict(zip(names, names, strict=True))
    expressions: list[str] = []
    parameters: list[Any] = []
    for name, step in zip(names, steps, strict=True):
        if isinstance(step, Write):
            expressions.append(f"{name} AS ({_fill_in(step.sql, places)})")
            parameters += step.parameters
        elif step.rows:
            sql, values = compile_insert(step.rows)
            expressions.append(f"{name} AS ({sql})")
            parameters += values
    with prepared.cursor() as cursor:
        # Every expression is executed, also those that the SELECT does not read.
        selected = ", ".join([f"{names[0]}.*", *(sql for sql, _ in reads)])
        parameters += [value for _, values in reads for value in values]
        cursor.execute(f"WITH {', '.join(expressions)} SELECT {selected} FROM {names[0]}", parameters)
        return list(cursor.fetchall())


def _one_by_one(steps: Sequence[Step], reads: Sequence[Read]) -> list[Row]:
    places = {step.name: step.table for step in steps if isinstance(step, Write)}
    first: list[Row] = []
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        for number, step in enumerate(steps):
            if isinstance(step, Write):
                cursor.execute(_fill_in(step.sql, places), step.parameters)
                if number == 0 and not (first := list(cursor.fetchall())):
                    break
            else:
                for rows in _in_parts(step.rows):
                    cursor.execute(*compile_insert(rows))
        if first and reads:
            values = read_values(reads)
            first = [(*row, *values) for row in first]
    return first


def read_values(reads: Sequence[Read]) -> Row:
    """Return the values of subqueries that are not read by the statement of a write."""
    parameters = [value for _, values in reads for value in values]
    return prepared.fetch_one(f"SELECT {', '.join(sql for sql, _ in reads)}", parameters) or () if reads else ()


def _in_parts(rows: Sequence[Model]) -> Iterator[Sequence[Model]]:
    """Yield the rows in parts that have no more values than SQLite takes in one statement."""
    size = INSERT_PARAMETERS_MAX // len(rows[0]._meta.concrete_fields) if rows else 1
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def compile_insert(rows: Sequence[Model]) -> tuple[str, list[Any]]:
    """Return the INSERT of these rows, with its parameters: the same values as `bulk_create` would write."""
    sql, as_they_are, converted, placeholders = _insert_of(type(rows[0]), rows[0].pk is not None)
    # `connection` is a proxy that looks up the connection of the thread for each attribute. Fields take several.
    direct = connections[DEFAULT_DB_ALIAS]
    parameters: list[Any] = []
    for row in rows:
        parameters += [getattr(row, name) for name in as_they_are]
        parameters += [field.get_db_prep_save(field.pre_save(row, True), direct) for field in converted]
        # As `save` does.
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
    return f"{sql} VALUES {', '.join([placeholders] * len(rows))}", parameters


@cache
def _insert_of(model: type[Model], has_key: bool) -> tuple[str, list[str], list[Any], str]:
    """Return the beginning of an INSERT, the names and the fields of its columns in their order, and one row of it."""
    fields = [field for field in model._meta.concrete_fields if has_key or not field.primary_key]
    converted = [field for field in fields if not is_sent_as_it_is(field)]
    as_they_are = [field for field in fields if field not in converted]
    columns = ", ".join(f'"{field.column}"' for field in (*as_they_are, *converted))
    names = [field.attname for field in as_they_are]
    return f'INSERT INTO "{model._meta.db_table}" ({columns})', names, converted, f"({', '.join(['%s'] * len(fields))})"


@cache
def is_sent_as_it_is(field: Any) -> bool:
    """Return whether psycopg takes the values of a field without the conversion by the field, which takes many calls.

    Text, UUIDs, moments and booleans have one type in Python and in PostgreSQL. SQLite stores some of them as text.
    """
    if isinstance(field, models.ForeignKey):
        return is_sent_as_it_is(field.target_field)
    has_own_value = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return vendor() == "postgresql" and type(field) in SENT_AS_THEY_ARE and not has_own_value


def to_database(moment: datetime | None) -> Any:
    """Return a moment as a parameter of SQL: SQLite stores text."""
    return connection.ops.adapt_datetimefield_value(moment)


def _fill_in(sql: str, places: Mapping[str, str]) -> str:
    for name, place in places.items():
        sql = sql.replace(f"{{{name}}}", place)
    return sql
