"""The SQL of the lifecycle: the UPDATE of a transition, and what an order has spent.

`tests/generations/lifecycle/test_statements.py` compares what they write with what the ORM would write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Model

from database import clock, prepared
from database.columns import Columns
from database.statements import Write, is_sent_as_it_is
from database.vendor import vendor
from generations.models import Batch, Generation, Output, Submission

_GENERATION = Columns(Generation, alias="generation")
_SUBMISSION = Columns(Submission, alias="submission")


def lock_generation(generation_id: UUID) -> Generation:
    """Lock the row of a generation until the transaction ends, and return it with the time of the database as `now`.

    The lock does not conflict with rows that refer to it: callbacks and events are inserted meanwhile. The plan is the
    primary key. SQLite locks the whole database instead, and has the clock of this machine.
    """
    extra, lock = (", STATEMENT_TIMESTAMP()", "FOR NO KEY UPDATE") if vendor() == "postgresql" else ("", "")
    sql = f"SELECT {_GENERATION.sql}{extra} FROM generations_generation AS generation WHERE generation.id = %s {lock}"
    row = prepared.fetch_one(sql, [Generation._meta.pk.get_db_prep_save(generation_id, connection)])
    if row is None:
        raise Generation.DoesNotExist(f"There is no generation {generation_id}.")
    generation: Generation = _GENERATION.read(row[: len(_GENERATION)])
    generation.set_now(row[-1] if vendor() == "postgresql" else clock.now())
    return generation


def lock_generations_of(batch_id: UUID) -> list[Generation]:
    """Lock the generations of a batch that have not ended, and return them as `lock_generation` does, in their order.

    Those that another transaction has locked are left out: waiting for one while others are locked could be a deadlock.
    The plan is the index of generations by batch.
    """
    extra, lock = (", STATEMENT_TIMESTAMP()", "FOR NO KEY UPDATE SKIP LOCKED") if vendor() == "postgresql" else ("", "")
    sql = f"""
        SELECT {_GENERATION.sql}{extra} FROM generations_generation AS generation
        WHERE generation.batch_id = %s AND NOT generation.phase = 'done' ORDER BY generation.id {lock}"""
    with prepared.cursor() as cursor:
        cursor.execute(sql, [Batch._meta.pk.get_db_prep_save(batch_id, connection)])
        rows = cursor.fetchall()
    generations: list[Generation] = [_GENERATION.read(row[: len(_GENERATION)]) for row in rows]
    for generation, row in zip(generations, rows, strict=True):
        generation.set_now(row[-1] if vendor() == "postgresql" else clock.now())
    return generations


def submissions_of(generation: Generation, *, request_id: str) -> list[Submission]:
    """Return the submissions of a generation, and the one of any generation that has this request id.

    The plan is two look-ups, by the index of submissions by generation and by the unique request id.
    """
    sql = f"SELECT {_SUBMISSION.sql} FROM generations_submission AS submission"
    with prepared.cursor() as cursor:
        cursor.execute(f"{sql} WHERE generation_id = %s OR request_id = %s", [_key(generation), request_id])
        return [_SUBMISSION.read(row) for row in cursor.fetchall()]


def update_generation(generation: Generation, columns: Iterable[str]) -> Write:
    """Return the UPDATE that writes these columns of a generation whose `version` was raised.

    The ORM takes a thousand calls to compile it. The plan is the primary key. The condition on the version makes it a
    guarded write even if its caller should not hold the lock: 0 rows are an error.
    """
    values = {name: getattr(generation, name) for name in ("version", *columns)}
    assignments, parameters = _assignments(Generation, values)
    sql = f"UPDATE generations_generation SET {assignments} WHERE id = %s AND version = %s RETURNING id"
    return Write(sql, [*parameters, _key(generation), generation.version - 1])


def update_generations(
    generations: Sequence[Generation], values: Mapping[str, Any], *, copied: Mapping[str, str]
) -> Write:
    """Return the UPDATE that writes these values of locked generations, and raises their versions.

    The plan is the primary key.

    Args:
        copied: The columns that get the value of another column of their row, by name.
    """
    assignments, parameters = _assignments(Generation, values)
    columns = "".join(f", {column} = {other}" for column, other in copied.items())
    keys = ", ".join(["%s"] * len(generations))
    sql = f"""
        UPDATE generations_generation SET {assignments}{columns}, version = version + 1
        WHERE id IN ({keys}) AND NOT phase = 'done' RETURNING id"""
    return Write(sql, [*parameters, *map(_key, generations)])


@dataclass(frozen=True)
class Outputs:
    """The outputs of one generation, counted."""

    total: int
    pending: int
    paid: int
    """Previews and masks come along for free, so only the paid files decide about the money."""
    delivered: int
    """How many of the paid files are stored."""
    flagged: int
    """How many of the delivered files the provider's safety checker blackened."""
    detail: str
    """Why a paid file was lost, for staff."""


def end_output(output: Output, changes: Mapping[str, Any]) -> Outputs | None:
    """Write how an output ended, and count the outputs of its generation. None if the caller has lost its lease.

    The caller holds the generation's lock, and the counts are read by the statement that writes: so it sees what the
    lock's last holder wrote. The plan is the primary key, and the index of outputs by generation for the counts.
    """
    assignments, parameters = _assignments(Output, changes)
    others = "FROM generations_output o WHERE o.generation_id = generations_output.generation_id"
    others += " AND o.id <> generations_output.id"
    leased = "lease IS NULL" if output.lease is None else "lease = %s"
    sql = f"""
        UPDATE generations_output SET {assignments} WHERE id = %s AND {leased} AND state = 'pending'
        RETURNING counts, state, flagged, detail,
            (SELECT COUNT(*) {others}),
            (SELECT COUNT(*) {others} AND o.state = 'pending'),
            (SELECT COUNT(*) {others} AND o.counts),
            (SELECT COUNT(*) {others} AND o.counts AND o.state = 'stored'),
            (SELECT COUNT(*) {others} AND o.counts AND o.state = 'stored' AND o.flagged),
            (SELECT MIN(o.detail) {others} AND o.counts AND o.detail <> '')"""
    lease = [] if output.lease is None else [Output._meta.get_field("lease").get_db_prep_save(output.lease, connection)]
    row = prepared.fetch_one(sql, [*parameters, _key(output), *lease])
    if row is None:
        return None
    counts, state, flagged, detail, total, pending, paid, delivered, black, other_detail = row
    is_delivered = bool(counts) and state == Output.State.STORED
    return Outputs(
        total=total + 1,
        pending=pending,
        paid=paid + bool(counts),
        delivered=delivered + is_delivered,
        flagged=black + (is_delivered and bool(flagged)),
        detail=(detail if counts else "") or other_detail or "",
    )


def _assignments(model: type[Model], changes: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the SET clause for these values of a model's fields, and its parameters."""
    fields: list[Any] = [model._meta.get_field(name) for name in changes]
    values = zip(fields, changes.values(), strict=True)
    direct = connections[DEFAULT_DB_ALIAS]
    return (
        ", ".join(f"{field.column} = %s" for field in fields),
        [value if is_sent_as_it_is(field) else field.get_db_prep_save(value, direct) for field, value in values],
    )


def _key(row: Model) -> Any:
    """Return the primary key as the database stores it: SQLite has no type for a UUID."""
    return row._meta.pk.get_db_prep_save(row.pk, connection)


def accept_only(submission: Submission) -> Write:
    """Return the UPDATE that makes this submission the accepted one of its generation, and other accepted ones surplus.

    The plan is the unique index of submissions by generation; most generations have one, which is accepted already.
    """
    key = _key(submission)
    sql = """
        UPDATE generations_submission SET state = CASE WHEN id = %s THEN 'accepted' ELSE 'surplus' END
        WHERE generation_id = %s AND (id = %s) <> (state = 'accepted') RETURNING id"""
    generation = Generation._meta.pk.get_db_prep_save(submission.generation_id, connection)
    return Write(sql, [key, generation, key])


def update_submission(submission: Submission, columns: Sequence[str]) -> Write:
    """Return the UPDATE that writes these columns of a submission. The plan is the primary key."""
    assignments, parameters = _assignments(Submission, {name: getattr(submission, name) for name in columns})
    sql = f"UPDATE generations_submission SET {assignments} WHERE id = %s RETURNING id"
    return Write(sql, [*parameters, _key(submission)])


def add_spending(generations: Sequence[Generation]) -> list[Write]:
    """Return the writes that count what new generations of one account hold, per day and per API key."""
    added = sum(generation.credits for generation in generations)
    first = generations[0]
    by_day = Write(
        """
        INSERT INTO generations_dailyspending (account_id, day, credits) VALUES (%s, %s, %s)
        ON CONFLICT (account_id, day) DO UPDATE SET credits = generations_dailyspending.credits + EXCLUDED.credits""",
        [first.account_id, _day_of(first), added],
    )
    by_key = Write(
        """
        INSERT INTO generations_keyspending (api_key_id, credits) VALUES (%s, %s)
        ON CONFLICT (api_key_id) DO UPDATE SET credits = generations_keyspending.credits + EXCLUDED.credits""",
        [first.api_key_id, added],
    )
    return [by_day] if first.api_key_id is None else [by_day, by_key]


def take_back_spending(generation: Generation, released: int) -> list[Write]:
    """Return the writes that take back the credits that a generation held and did not cost."""
    if not released:
        return []
    by_day = Write(
        "UPDATE generations_dailyspending SET credits = credits - %s WHERE account_id = %s AND day = %s",
        [released, generation.account_id, _day_of(generation)],
    )
    by_key = Write(
        "UPDATE generations_keyspending SET credits = credits - %s WHERE api_key_id = %s",
        [released, generation.api_key_id],
    )
    return [by_day] if generation.api_key_id is None else [by_day, by_key]


def _day_of(generation: Generation) -> Any:
    return connection.ops.adapt_datefield_value(generation.created_at.astimezone(UTC).date())
