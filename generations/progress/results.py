"""The result of a generation as one object for Python callers, and a function that waits for it.

    generation = Generation.objects.get(…)
    result = results.wait(generation, seconds=300)
    if result.is_completed:
        print(result.model_url, result.processing_seconds)

`manage.py generate` uses it. The caller needs running workers: waiting only reads the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from generations.catalogue import MODELS
from generations.files import signed_urls, storage
from generations.models import Generation, Output, Status
from generations.progress.event_stream import Snapshot, Subject

POLL_SECONDS = 0.25
# How long to wait for a model by default: ten times its usual duration, within these limits.
DEFAULT_WAIT_SECONDS_MIN, DEFAULT_WAIT_SECONDS_MAX = 300, 1800
TYPICAL_DURATIONS = 10


@dataclass(frozen=True, kw_only=True)
class File:
    """One stored file of a result."""

    output: Output
    index: int
    role: str
    """Its location in fal's answer, such as `images[0]`."""
    content_type: str
    size_bytes: int
    sha256: str
    counts: bool
    """Whether it was paid for. A preview is free."""
    flagged: bool
    """Whether the model's safety checker blackened it."""

    @property
    def url(self) -> str:
        """A new signed URL, which expires. Without a host if files are stored in a local folder."""
        return signed_urls.for_reading(self.output).url

    @property
    def extension(self) -> str:
        """By the content of the file, without a dot: `png`."""
        return signed_urls.download_name(self.output).rpartition(".")[2]

    def copy_to(self, sink: IO[bytes]) -> None:
        """Write the stored bytes to an open file."""
        with storage.open_file(self.output.key) as content:
            for chunk in content.chunks():
                sink.write(chunk)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a generation failed, and what was charged."""

    code: str
    message: str
    retryable: bool
    charged: int
    """In credits."""
    refunded: int
    """In credits."""


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """The state of a generation and, once it has ended, its result."""

    id: UUID
    model: str
    status: str
    outputs: tuple[File, ...]
    """Those that are in storage."""
    details: Mapping[str, Any]
    """What the model returned beside its files, such as the seed."""
    processing_seconds: float | None
    """From the order to the end. None: it has not ended."""
    metadata: Mapping[str, str]
    credits: int
    """What was charged. 0 until it has ended."""
    error: Failure | None

    @property
    def is_done(self) -> bool:
        return self.status in (Status.COMPLETED, Status.FAILED)

    @property
    def is_completed(self) -> bool:
        return self.status == Status.COMPLETED

    @property
    def model_url(self) -> str | None:
        """The URL of the first file that was paid for."""
        return next((file.url for file in self.outputs if file.counts), None)


def of(generation: Generation) -> GenerationResult:
    """Return the result as it is in the database now."""
    generation.refresh_from_db()
    error = None
    if generation.status == Status.FAILED:
        error = Failure(
            code=generation.failure_code,
            message=generation.failure_message,
            retryable=generation.retryable,
            charged=generation.captured,
            refunded=generation.released,
        )
    # A lost output has no file; the charge takes that into account.
    files = [
        File(
            output=output,
            index=output.index,
            role=output.role,
            content_type=output.content_type,
            size_bytes=output.size_bytes or 0,
            sha256=output.sha256,
            counts=output.counts,
            flagged=output.flagged,
        )
        for output in generation.outputs.filter(state=Output.State.STORED)
    ]
    ended_at = generation.finished_at
    return GenerationResult(
        id=generation.pk,
        model=generation.model,
        status=generation.status,
        outputs=tuple(files),
        details=generation.details,
        processing_seconds=(ended_at - generation.created_at).total_seconds() if ended_at else None,
        metadata=generation.metadata,
        credits=generation.captured,
        error=error,
    )


def wait(
    generation: Generation, *, seconds: float, on_poll: Callable[[Snapshot | None], object] = lambda snapshot: None
) -> GenerationResult:
    """Wait for the end of a generation. Returns its result; `is_done` is False if the time passed before.

    Args:
        seconds: How long to wait.
        on_poll: Called at each poll, several times a second: with a snapshot if the generation has changed since the
            last poll, otherwise with None.
    """
    subject, deadline, version_seen = Subject.of(generation), time.monotonic() + seconds, 0
    while True:
        try:
            # A cheap query first, because most polls find no change.
            version = subject.version()
            changed = subject.snapshots()[0] if version is not None and version != version_seen else None
        except (DatabaseError, InterfaceError):
            # A restarting database is back within the time, or the time passes. A broken connection is not used again.
            connection.close()
            changed = None
        version_seen = changed.version if changed else version_seen
        on_poll(changed)
        if (changed and changed.is_done) or time.monotonic() >= deadline:
            return of(generation)
        time.sleep(POLL_SECONDS)


def default_wait_seconds(slug: str) -> int:
    """Return how many seconds to wait for a model by default. An unknown slug gets the minimum."""
    typical = MODELS[slug].typical_seconds if slug in MODELS else 0
    return min(max(DEFAULT_WAIT_SECONDS_MIN, TYPICAL_DURATIONS * typical), DEFAULT_WAIT_SECONDS_MAX)
