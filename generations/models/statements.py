"""Hand-written SQL of the core tables: generations with what is rendered beside their rows, in one statement.

The ORM takes 7,000 Python calls and four statements for a key, a generation, its outputs and its input files. Written
by hand, one statement takes a tenth. `tests/generations/api/test_statements.py` compares the answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models.expressions import RawSQL

from database import prepared
from database.columns import Columns
from database.vendor import vendor
from generations.models.batch import Batch
from generations.models.generation import Generation, GenerationQuerySet
from generations.models.input_file import InputFile
from generations.models.output import Output

Row = TypeVar("Row", Generation, Batch)

_STATE = Columns(Generation, "id", "account_id", "version", "phase", "created_at", alias="generation")
# Everything that the API renders of a row.
COLUMNS = (
    *("id", "account_id", "model", "kind", "status", "phase", "version", "input", "metadata", "queue_position"),
    *("percent", "message", "details", "failure_code", "failure_message", "failure_errors", "retryable", "rule"),
    *("credits", "captured", "released", "batch_id", "retry_of_id", "idempotency_key", "created_at"),
    *("submitted_at", "answered_at", "finished_at", "erased_at"),
)
_ROW = Columns(Generation, *COLUMNS, alias="generation")
_OUTPUT = Columns(
    *(Output, "id", "generation_id", "index", "role", "flagged", "key", "kind", "content_type", "size_bytes", "sha256"),
    *("width", "height", "duration_seconds"),
    alias="output",
)
_BATCH = Columns(Batch, alias="batch")
_INPUT_FILE = Columns(InputFile, "id", "path", "upload_id", "output_id", alias="input_file")
_SOURCE = Columns(Output, "id", "generation_id", alias="output")


class Selection(NamedTuple, Generic[Row]):
    """What a statement reads of a generation or of a batch."""

    sql: str
    """The columns of the table `generation` or `batch`, the primary key first."""
    read: Callable[[Sequence[Any]], Row]
    """Makes an instance from their values."""


STATE = Selection(_STATE.sql, _STATE.read)
"""What decides whether a client has the current state, and when it is to ask again. Other columns are deferred."""


def batch_state() -> Selection[Batch]:
    """Return the selection of a batch with the sum of its generations' versions, and how many have not ended.

    Plan: two scans of the index of `batch_id`, each of at most 200 generations.
    """
    return Selection(
        f"""{_BATCH.sql},
            (SELECT SUM(version) FROM generations_generation WHERE batch_id = batch.id),
            (SELECT COUNT(*) FROM generations_generation WHERE batch_id = batch.id AND phase <> 'done')""",
        _read_batch,
    )


@cache
def everything() -> Selection[Generation]:
    """Return the selection of all that is rendered.

    Plan: one look-up each by the index (generation, …) of submissions, outputs and input files. A generation without an
    answer has no outputs, so they are not looked up.
    """
    return Selection(", ".join([_ROW.sql, *_related_sql("generation").values()]), _read)


def read_all(generation_id: UUID) -> Generation:
    """Return a generation with what is rendered beside its row.

    Plan: one look-up by the primary key, and those of `everything`.

    Raises:
        Generation.DoesNotExist: There is none with this id.
    """
    statement = f"SELECT {everything().sql} FROM generations_generation AS generation WHERE id = %s"
    row = prepared.fetch_one(statement, [key_parameter(generation_id)])
    if row is None:
        raise Generation.DoesNotExist(generation_id)
    return _read(row)


def key_parameter(key: UUID) -> Any:
    """Return the primary key of a generation or a batch as a parameter of a statement: SQLite has no type for it."""
    return Generation._meta.pk.get_db_prep_value(key, connection)


def is_complete(generation: Generation) -> bool:
    """Return whether a generation was read with what is rendered beside its row."""
    return "outputs_json" in vars(generation)


def with_related_rows(generations: GenerationQuerySet) -> GenerationQuerySet:
    """Add what is rendered beside the rows to a query for many generations."""
    related = _related_sql(Generation._meta.db_table)
    return generations.only(*COLUMNS).annotate(**{name: RawSQL(sql, []) for name, sql in related.items()})  # noqa: S611


def outputs_of(generation: Generation) -> list[Output]:
    """Return the stored outputs of a generation that was read here, by index."""
    found = generation.outputs_json  # type: ignore[attr-defined]
    return sorted(map(_OUTPUT.read_json, json.loads(found)), key=attrgetter("index")) if found else []


def input_files_of(generation: Generation) -> list[InputFile]:
    """Return the input files of a generation that was read here, each with its output in hand."""
    found = generation.input_files_json  # type: ignore[attr-defined]
    files = []
    for *values, source_generation_id in json.loads(found) if found else []:
        file = _INPUT_FILE.read_json(values)
        output = _SOURCE.read_json([values[-1], source_generation_id]) if source_generation_id else None
        InputFile.output.field.set_cached_value(file, output)
        files.append(file)
    return sorted(files, key=attrgetter("pk"))


def show_without_query(generation: Generation, input_files: Sequence[InputFile]) -> None:
    """Give a new generation what is rendered beside its row, as if it had been read here.

    Args:
        input_files: Its input files, which need not be saved, each with its output in hand.
    """
    rows = [
        (number, file.path, file.upload_id, file.output_id, file.output and file.output.generation_id)
        for number, file in enumerate(input_files)
    ]
    related = {"fal_request_id": None, "outputs_json": None, "input_files_json": json.dumps(rows, default=str)}
    generation.__dict__.update(related)


def _read(row: Sequence[Any]) -> Generation:
    generation = _ROW.read(row[: len(_ROW)])
    for name, value in zip(_related_sql("generation"), row[len(_ROW) :], strict=True):
        setattr(generation, name, value)
    return generation


def _read_batch(row: Sequence[Any]) -> Batch:
    *values, versions, open_count = row
    batch = _BATCH.read(values)
    batch.versions, batch.open_count = versions, open_count  # type: ignore[attr-defined]
    return batch


@cache
def _related_sql(table: str) -> dict[str, str]:
    """Return the subqueries for what is rendered beside a row, by the attributes that have their values."""
    is_postgresql = vendor() == "postgresql"
    rows = "json_agg(json_build_array({}))::text" if is_postgresql else "json_group_array(json_array({}))"
    return {
        # A lost submission may have been repeated: the latest job at fal is the one that is shown.
        "fal_request_id": f"""(
            SELECT submission.request_id FROM generations_submission AS submission
            WHERE submission.generation_id = {table}.id AND submission.request_id IS NOT NULL
            ORDER BY submission.number DESC LIMIT 1)""",
        "outputs_json": f"""CASE WHEN {table}.phase IN ('storing', 'done') THEN (
            SELECT {rows.format(_OUTPUT.sql)} FROM generations_output AS output
            WHERE output.generation_id = {table}.id AND output.state = 'stored') END""",
        "input_files_json": f"""(
            SELECT {rows.format(_INPUT_FILE.sql + ", source.generation_id")} FROM generations_inputfile AS input_file
            LEFT JOIN generations_output AS source ON source.id = input_file.output_id
            WHERE input_file.generation_id = {table}.id)""",
    }
