"""Raw SQL of the workers. Each statement says why it is not the ORM's, and which plan it relies on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from database import clock, prepared
from database.columns import Columns
from database.vendor import vendor
from generations.models import Generation, ProviderCallback, Submission
from generations.models.statements import key_parameter

_CALLBACK = Columns(ProviderCallback, alias="callback")
_SUBMISSION = Columns(Submission, alias="submission")
_GENERATION = Columns(Generation, alias="generation")
_END_OF_CALLBACK = len(_CALLBACK)
_END_OF_SUBMISSION = _END_OF_CALLBACK + len(_SUBMISSION)
_END_OF_GENERATION = _END_OF_SUBMISSION + len(_GENERATION)


# Together with the claim of outputs: the place of each attempt is on record before the first byte is written there. The
# ORM would need a statement of its own. The rows come from the claim; SQLite, which has no such expression, finds them
# again with the partial index of due outputs, for which the last two conditions are.
RECORD_WRITE_ATTEMPTS = """
    INSERT INTO generations_writeattempt (output_id, lease, is_over, cleanups, next_cleanup_at)
    SELECT id, lease, FALSE, 0, leased_until FROM {updated}
    WHERE lease = %s AND state = 'pending' AND next_attempt_at > '0001-01-01'"""


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
        # Not prepared: without the values of its parameters PostgreSQL could not use the partial indexes.
        with connection.cursor() as cursor:
            cursor.execute(self._sql, self._parameters)
            return [name for (name,) in cursor.fetchall()]


def lock_next_received(*, limit: int, without: Collection[int]) -> list[ProviderCallback]:
    """Lock the received callbacks that came first, with their generations, and pass over those that are locked.

    The plan is the partial index `generations_callbacks_received`, and two primary keys. The ORM takes 1,500 calls to
    compile it and to make the rows of three tables.

    Args:
        limit: How many at most.
        without: The ids of callbacks to leave out.

    Returns:
        The callbacks with their submissions and generations; the generations have the time of the database as `now`.
    """
    are_left_out = f"AND NOT callback.id IN ({_ELEMENTS[vendor()]})" if without else ""
    parameters = [json.dumps(sorted(without))] if without else []
    return _lock(f"{are_left_out} ORDER BY callback.id LIMIT %s", [*parameters, limit], "SKIP LOCKED")


def lock_received(column: Literal["callback.id", "generation.id"], value: int | UUID) -> list[ProviderCallback]:
    """Lock the received callbacks with this value, as `lock_next_received` does, and wait for those that are locked."""
    parameter = key_parameter(value) if isinstance(value, UUID) else value
    return _lock(f"AND {column} = %s ORDER BY callback.id", [parameter], "")


def record_outcome(callbacks: Iterable[ProviderCallback], outcome: str) -> None:
    """Record what became of locked callbacks. The plan is the primary key."""
    ids = json.dumps([callback.pk for callback in callbacks])
    with prepared.cursor() as cursor:
        cursor.execute(
            f"UPDATE generations_providercallback SET outcome = %s WHERE id IN ({_ELEMENTS[vendor()]})",
            [outcome, ids],
        )


# One parameter for any number of ids: the text of the statement stays the same.
_ELEMENTS = {
    "postgresql": "SELECT CAST(element AS bigint) FROM json_array_elements_text(CAST(%s AS json)) AS element",
    "sqlite": "SELECT value FROM json_each(%s)",
}


def _lock(condition: str, parameters: list[Any], if_locked: str) -> list[ProviderCallback]:
    # The generation first, as everything else that changes its callbacks (docs/decisions/0009-locks.md).
    is_postgresql = vendor() == "postgresql"
    time, lock = (
        (", STATEMENT_TIMESTAMP()", f"FOR NO KEY UPDATE OF generation, callback {if_locked}")
        if is_postgresql
        else ("", "")
    )
    with prepared.cursor() as cursor:
        cursor.execute(
            f"""SELECT {_CALLBACK.sql}, {_SUBMISSION.sql}, {_GENERATION.sql}{time}
            FROM generations_providercallback AS callback
            JOIN generations_submission AS submission ON submission.id = callback.submission_id
            JOIN generations_generation AS generation ON generation.id = submission.generation_id
            WHERE callback.outcome = 'received' {condition} {lock}""",
            parameters,
        )
        rows = cursor.fetchall()
    return [_callback(row, row[-1] if is_postgresql else clock.now()) for row in rows]


def _callback(row: tuple[Any, ...], now: Any) -> ProviderCallback:
    callback = _CALLBACK.read(row[:_END_OF_CALLBACK])
    callback.submission = _SUBMISSION.read(row[_END_OF_CALLBACK:_END_OF_SUBMISSION])
    callback.submission.generation = _GENERATION.read(row[_END_OF_SUBMISSION:_END_OF_GENERATION])
    callback.submission.generation.set_now(now)
    return callback
