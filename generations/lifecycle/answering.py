"""What fal says: how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from database.clock import from_now
from generations.catalogue import MODELS, FoundFile, extract_details, extract_files, goes_back, parse_log_line
from generations.fal import Reason
from generations.jobs import failpoints
from generations.lifecycle.ending import provider_failed
from generations.lifecycle.failures import failure, failure_for
from generations.lifecycle.transitions import lock, move, record_event
from generations.models import FailureCode, Generation, Output, Phase, Submission

# fal keeps files for at least seven days; a bucket that is away for longer than this has a person at work on it.
COPY_SECONDS_MAX = 6 * 3600


@transaction.atomic
def progressed(generation: Generation, *, running: bool, position: int | None = None, line: str = "") -> bool:
    """fal says how far it is. False when that is no news: messages do not repeat, stages and percent only rise."""
    phase = Phase.RUNNING if running else Phase.WAITING
    generation = lock(generation.pk)
    before = generation.phase
    # Back in fal's queue, it begins anew.
    message, percent = _advance(generation, line) if before == phase else _begin(line)
    news: dict[str, Any] = {"queue_position": position, "message": message, "percent": percent}
    if before == phase and all(getattr(generation, name) == value for name, value in news.items()):
        return False
    moved = move(generation, phase, **news)
    if moved and before != phase:
        record_event(generation, "progressed", actor="fal")
    return moved


def _begin(line: str) -> tuple[str, int | None]:
    said = parse_log_line(line)
    return said.message, said.percent


def _advance(generation: Generation, line: str) -> tuple[str, int | None]:
    """The line, unless it falls silent or goes back behind what was said already."""
    said = parse_log_line(line)
    percent = max((p for p in (generation.percent, said.percent) if p is not None), default=None)
    if not said.message or goes_back(generation.message, said.message):
        return generation.message, percent
    return said.message, percent


@transaction.atomic
def answered(submission: Submission, answer: Mapping[str, Any]) -> bool:
    """fal delivered. Its files become Output rows for the copier, the rest is kept; no file at all is a failure."""
    generation = lock(submission.generation_id)
    files = extract_files(answer)
    if not files:
        return provider_failed(generation, failure(FailureCode.PROVIDER_ERROR, detail="an answer without a file"))
    message = f"Copying {len(files)} file{'s' if len(files) > 1 else ''}"
    if not move(
        generation,
        Phase.STORING,
        answered_at=Now(),
        details=extract_details(answer),
        next_attempt_at=None,
        queue_position=None,
        percent=None,
        message=message,
    ):
        return False
    _only_this_one(generation, submission)
    failpoints.reach("answered")
    Output.objects.bulk_create(_outputs(generation, files))
    record_event(generation, "answered", actor="fal", note=message)
    return True


def _only_this_one(generation: Generation, submission: Submission) -> None:
    """Of several jobs for one order the first to answer is the one that counts; the others are surplus."""
    others = generation.submissions.filter(state=Submission.State.ACCEPTED).exclude(pk=submission.pk)
    others.update(state=Submission.State.SURPLUS)
    Submission.objects.filter(pk=submission.pk).update(state=Submission.State.ACCEPTED)


def _outputs(generation: Generation, files: Sequence[FoundFile]) -> list[Output]:
    model = MODELS.get(generation.model)
    paid = {file.role for file in files if model is None or model.is_paid(file.role)}
    return [
        Output(
            generation=generation,
            index=index,
            role=file.role,
            # A model that suddenly names its files otherwise still delivers what was paid for.
            counts=not paid or file.role in paid,
            source_url=file.url,
            claimed_size_bytes=file.claimed_size_bytes,
            flagged=file.flagged,
            duration_seconds=file.duration_seconds,
            next_attempt_at=Now(),
            give_up_at=from_now(COPY_SECONDS_MAX),
        )
        for index, file in enumerate(files)
    ]


@transaction.atomic
def answered_error(submission: Submission, reason: Reason) -> bool:
    """fal, or the model, gave up. Who asked for a cancellation gets that as the reason."""
    generation = lock(submission.generation_id)
    return provider_failed(generation, failure_for(generation, reason))
