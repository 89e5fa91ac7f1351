"""Outputs on their way into the operator's storage. The last one to end completes the generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet

from database import clock
from database.transactions import repeated
from generations.lifecycle import statements
from generations.lifecycle.ending import complete, fail
from generations.lifecycle.failures import failure
from generations.lifecycle.transitions import lock, move
from generations.models import FailureCode, Output, Phase


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file in the operator's storage, as it was measured there after the upload."""

    key: str
    kind: str
    content_type: str
    size_bytes: int
    sha256: str
    """64 hexadecimal digits."""
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


@repeated
def stored(output: Output, file: StoredFile) -> bool:
    """Record that one output is in storage, verified. False if the lease is lost, or the generation does not change."""
    return _end(
        output,
        state=Output.State.STORED,
        key=file.key,
        kind=file.kind,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        width=file.width,
        height=file.height,
        duration_seconds=file.duration_seconds or output.duration_seconds,
        detail="",
        stored_at=clock.now(),
    )


@repeated
def output_lost(output: Output, *, detail: str, code: FailureCode = FailureCode.COPY_FAILED, message: str = "") -> bool:
    """Record that one output will never be stored. False if the lease is lost, or the generation does not change.

    Args:
        code: why the generation fails, if this was its last output and none is stored.
        message: for the customer; empty for the message of the code.
    """
    return _end(output, code, message, state=Output.State.LOST, detail=detail[:500])


def not_copied(output: Output, *, detail: str, missed: bool, is_first: bool = False) -> bool:
    """Record an attempt to copy that failed. False if the lease is lost.

    Args:
        missed: the file was not where fal said, or was not what it should be. An error of Limn is no miss.
        is_first: earlier misses were before an outage of Limn, and no longer count.
    """
    misses = int(missed) if is_first else F("misses") + int(missed)
    written = _leased(output).update(misses=misses, detail=detail[:500])
    output.refresh_from_db(fields=["misses", "detail"])
    return bool(written)


def source_url_changed(output: Output, *, source_url: str, claimed_size_bytes: int | None) -> bool:
    """Record another URL that fal names for the same file. False if the lease is lost."""
    return bool(_leased(output).update(source_url=source_url, claimed_size_bytes=claimed_size_bytes))


def holds_lease(output: Output) -> bool:
    """Return whether the caller still holds the lease of a pending output."""
    return _leased(output).exists()


def _leased(output: Output) -> QuerySet[Output]:
    """Return the output's row, if the caller still holds its lease.

    A worker that was suspended beyond it changes nothing.
    """
    return Output.objects.filter(pk=output.pk, lease=output.lease, state=Output.State.PENDING)


def _end(output: Output, code: FailureCode = FailureCode.COPY_FAILED, why: str = "", **changes: Any) -> bool:
    """Write how an output ended. If no other one is pending, end the generation: under its lock, one output is last."""
    generation = lock(output.generation_id)
    outputs = statements.end_output(output, changes | {"next_attempt_at": None})
    if outputs is None:
        return False
    if outputs.pending:
        message = f"Copying {outputs.total - outputs.pending + 1} of {outputs.total} files"
        return move(generation, Phase.STORING, only_from={Phase.STORING}, message=message)
    if not outputs.delivered:
        return fail(generation, failure(code, message=why, detail=outputs.detail), actor="limn")
    return complete(
        generation,
        # fal may deliver fewer files than ordered; the price was for `files_expected`.
        promised=max(outputs.paid, generation.files_expected),
        delivered=outputs.delivered,
        flagged=outputs.flagged,
    )
