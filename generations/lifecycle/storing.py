"""Files on their way into the owner's storage. The last one to arrive completes the generation and captures."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from generations.lifecycle.ending import completed, failed
from generations.lifecycle.failures import failure
from generations.lifecycle.transitions import lock, move
from generations.models import FailureCode, Generation, Output, Phase


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that lies in the owner's storage, as it was measured there."""

    key: str
    kind: str
    content_type: str
    size_bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


@transaction.atomic
def stored(output: Output, file: StoredFile) -> bool:
    """One output lies verified in storage. Only the holder of its lease may say so; the last one completes."""
    generation = lock(output.generation_id)
    written = _leased(output).update(
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
        stored_at=timezone.now(),
        next_attempt_at=None,
    )
    return bool(written) and _conclude(generation)


@transaction.atomic
def output_lost(output: Output, *, detail: str) -> bool:
    """One output will never come. The last one to end decides the whole."""
    generation = lock(output.generation_id)
    written = _leased(output).update(state=Output.State.LOST, detail=detail[:500], next_attempt_at=None)
    return bool(written) and _conclude(generation)


def not_copied(output: Output, *, detail: str, missed: bool) -> bool:
    """It did not work out this time. `missed`: it was not where fal said, or not what it should be."""
    written = _leased(output).update(misses=F("misses") + int(missed), detail=detail[:500])
    output.refresh_from_db(fields=["misses", "detail"])
    return bool(written)


def source_url_changed(output: Output, *, source_url: str, claimed_size_bytes: int | None) -> bool:
    """fal names another address for the very file."""
    return bool(_leased(output).update(source_url=source_url, claimed_size_bytes=claimed_size_bytes))


def _leased(output: Output) -> QuerySet[Output]:
    return Output.objects.filter(pk=output.pk, lease=output.lease, state=Output.State.PENDING)


def _conclude(generation: Generation) -> bool:
    outputs = list(generation.outputs.all())
    pending = sum(output.state == Output.State.PENDING for output in outputs)
    if pending:
        message = f"Copying {len(outputs) - pending + 1} of {len(outputs)} files"
        return move(generation, Phase.STORING, only_from={Phase.STORING}, message=message)
    paid = [output for output in outputs if output.counts]
    delivered = [output for output in paid if output.state == Output.State.STORED]
    if not delivered:
        detail = next((output.detail for output in paid if output.detail), "")
        return failed(generation, failure(FailureCode.COPY_FAILED, detail=detail), actor="limn")
    return completed(
        generation,
        promised=max(len(paid), generation.files_expected),
        delivered=len(delivered),
        flagged=sum(output.flagged for output in delivered),
    )
