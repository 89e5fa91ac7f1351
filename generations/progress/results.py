"""What came of an order, for Python callers: one object with all of it, and a way to wait for it.

generation = Generation.objects.get(…)
result = results.wait(generation, seconds=300)
if result.is_completed:
    print(result.model_url, result.processing_seconds)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from generations.catalogue import MODELS
from generations.files import signed_urls
from generations.models import Generation, Output, Status
from generations.progress.event_stream import Snapshot, Subject

SECONDS_BETWEEN_LOOKS = 0.25
# How long is waited for a model of which nothing else is said: ten times as long as it usually takes, within these.
WAIT_SECONDS_MIN, WAIT_SECONDS_MAX = 300, 1800
TIMES_TYPICAL = 10


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a result."""

    output: Output
    index: int
    role: str
    """Its place in fal's answer."""
    content_type: str
    size_bytes: int
    sha256: str
    counts: bool
    """Whether it was paid for; a preview comes along for free."""
    flagged: bool

    @property
    def url(self) -> str:
        """Fresh, and good for a while. Of the bucket; or our own, without a host."""
        return signed_urls.to(self.output).url


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why there is no result, and what became of the money."""

    code: str
    message: str
    retryable: bool
    charged: int
    refunded: int


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """How an order stands; once it has ended, what came of it."""

    id: UUID
    model: str
    status: str
    outputs: tuple[File, ...]
    details: Mapping[str, Any]
    """What the model said beside its files: the seed it used, a description …"""
    processing_seconds: float | None
    """From the order to its end."""
    metadata: Mapping[str, str]
    credits: int
    """What it cost; so far, nothing."""
    error: Failure | None

    @property
    def is_done(self) -> bool:
        return self.status in (Status.COMPLETED, Status.FAILED)

    @property
    def is_completed(self) -> bool:
        return self.status == Status.COMPLETED

    @property
    def model_url(self) -> str | None:
        """The address of the first file that was paid for."""
        return next((file.url for file in self.outputs if file.counts), None)


def of(generation: Generation) -> GenerationResult:
    """As it is in the database now."""
    generation.refresh_from_db()
    ended = generation.finished_at
    return GenerationResult(
        id=generation.pk,
        model=generation.model,
        status=generation.status,
        outputs=tuple(map(_file, generation.outputs.filter(state=Output.State.STORED))),
        details=generation.details,
        processing_seconds=(ended - generation.created_at).total_seconds() if ended else None,
        metadata=generation.metadata,
        credits=generation.captured,
        error=_failure(generation) if generation.status == Status.FAILED else None,
    )


def wait(
    generation: Generation, *, seconds: float, on_look: Callable[[Snapshot | None], object] = lambda standing: None
) -> GenerationResult:
    """Wait for its end, and answer how it stands then. `is_done` is False when the time was over before.

    `on_look` is called with each look, some times a second: with how it stands if that is news, else with None.
    """
    job, give_up_at, seen = Subject.of(generation), time.monotonic() + seconds, 0
    while True:
        try:
            version = job.version()
            news = job.standings()[0] if version is not None and version != seen else None
        except (DatabaseError, InterfaceError):
            # It comes back, or our time runs out.
            connection.close()
            news = None
        seen = news.version if news else seen
        on_look(news)
        if (news and news.is_done) or time.monotonic() >= give_up_at:
            return of(generation)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def wait_seconds(slug: str) -> int:
    """How long to wait for a model: long enough for a slow day, and never for hours."""
    typical = MODELS[slug].typical_seconds if slug in MODELS else 0
    return min(max(WAIT_SECONDS_MIN, TIMES_TYPICAL * typical), WAIT_SECONDS_MAX)


def _file(output: Output) -> File:
    return File(
        output=output,
        index=output.index,
        role=output.role,
        content_type=output.content_type,
        size_bytes=output.size_bytes or 0,
        sha256=output.sha256,
        counts=output.counts,
        flagged=output.flagged,
    )


def _failure(generation: Generation) -> Failure:
    return Failure(
        code=generation.failure_code,
        message=generation.failure_message,
        retryable=generation.retryable,
        charged=generation.captured,
        refunded=generation.released,
    )
