"""What fal reports about a submission: its progress, and its result.

Called by the callback inbox and by the reconciler, with the same facts in any order and any number of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from database.statements import Insert
from database.transactions import repeated
from generations.catalogue import MODELS, FoundFile, extract_details, extract_files, goes_back, parse_log_line
from generations.fal import Reason
from generations.jobs import failpoints
from generations.lifecycle import statements
from generations.lifecycle.ending import provider_failed
from generations.lifecycle.failures import failure, failure_for
from generations.lifecycle.transitions import Fact, lock, lock_of, move, seconds_after
from generations.models import FailureCode, Generation, Output, Phase, Submission

# fal keeps files for at least seven days. As long as it does, no trouble of the storage or of Limn loses one.
COPY_SECONDS_MAX = 7 * 24 * 3600


@repeated
def progressed(generation: Generation, *, running: bool, position: int | None = None, line: str = "") -> bool:
    """Record progress that fal reported. False if it says nothing new, or the generation cannot progress any more.

    Args:
        running: whether the job runs; otherwise it waits in fal's queue.
        position: its position in fal's queue.
        line: the newest line of the model's log. Stages and percentages that are read from it only rise.
    """
    phase = Phase.RUNNING if running else Phase.WAITING
    generation = lock(generation.pk)
    before = generation.phase
    parsed = parse_log_line(line)
    message, percent = parsed.message, parsed.percent
    # A job that fal puts back into its queue starts over, so then nothing is kept.
    if before == phase:
        percent = max((p for p in (generation.percent, percent) if p is not None), default=None)
        if not message or goes_back(generation.message, message):
            message = generation.message
    changes: dict[str, Any] = {"queue_position": position, "message": message, "percent": percent}
    if before == phase and all(getattr(generation, name) == value for name, value in changes.items()):
        return False
    fact = Fact(name="progressed", actor="fal") if before != phase else None
    return move(generation, phase, fact, **changes)


@repeated
def answered(submission: Submission, answer: Mapping[str, Any]) -> bool:
    """Record a result that fal delivered.

    Its files become Output rows for the copier; a result without a file is a failure.

    False if the generation has ended, or another submission was answered before.
    """
    return answer_locked(lock_of(submission), submission, answer)


def answer_locked(generation: Generation, submission: Submission, answer: Mapping[str, Any]) -> bool:
    """Record a result of a locked generation, as `answered` does."""
    files = extract_files(answer)
    if not files:
        return provider_failed(generation, failure(FailureCode.PROVIDER_ERROR, detail="an answer without a file"))
    message = f"Copying {len(files)} file{'s' if len(files) > 1 else ''}"
    if not move(
        generation,
        Phase.STORING,
        Fact(name="answered", actor="fal", note=message),
        answered_at=generation.now,
        details=extract_details(answer),
        next_attempt_at=None,
        queue_position=None,
        percent=None,
        message=message,
        # Of several jobs for one generation the first to answer counts. The others are surplus: the operator pays them.
        together=[Insert(_outputs(generation, files)), statements.accept_only(submission)],
    ):
        return False
    failpoints.reach("answered")
    return True


def _outputs(generation: Generation, files: Sequence[FoundFile]) -> list[Output]:
    model = MODELS.get(generation.model)
    paid = {file.role for file in files if model is None or model.is_paid(file.role)}
    return [
        Output(
            generation=generation,
            index=index,
            role=file.role,
            # If fal renames the files of a model, none of them has a known role: then all count as paid ones.
            counts=not paid or file.role in paid,
            source_url=file.url,
            claimed_size_bytes=file.claimed_size_bytes,
            flagged=file.flagged,
            duration_seconds=file.duration_seconds,
            next_attempt_at=generation.now,
            give_up_at=seconds_after(generation, COPY_SECONDS_MAX),
        )
        for index, file in enumerate(files)
    ]


@repeated
def answered_error(submission: Submission, reason: Reason) -> bool:
    """Record a failure that fal reported. If cancellation was requested, the failure code is `cancelled`.

    False if the generation has ended, or is copying files.
    """
    generation = lock_of(submission)
    return provider_failed(generation, failure_for(generation, reason))
