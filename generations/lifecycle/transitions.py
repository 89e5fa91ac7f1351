"""The legal transitions of a generation, and the only code that writes its status.

Every transition is a guarded UPDATE: it names the phases that the generation may be in, and returns whether it was in
one of them. Of two processes that report the same fact, one moves the generation.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.db.models.functions import Now

from generations.models import Event, Generation, Phase, Status
from generations.progress.event_hook import event_recorded

STATUS_OF = {
    Phase.QUEUED: Status.PENDING,
    Phase.SUBMITTING: Status.PENDING,
    Phase.UNKNOWN: Status.PENDING,
    Phase.WAITING: Status.PROCESSING,
    Phase.RUNNING: Status.PROCESSING,
    Phase.STORING: Status.PROCESSING,
}
WITH_FAL = {Phase.SUBMITTING, Phase.UNKNOWN, Phase.WAITING, Phase.RUNNING}
CAME_FROM = {
    # UNKNOWN: fal's own record does not know the submission, so another one is planned.
    Phase.QUEUED: {Phase.SUBMITTING, Phase.UNKNOWN},
    Phase.SUBMITTING: {Phase.QUEUED},
    Phase.UNKNOWN: {Phase.SUBMITTING},
    # RUNNING: fal puts a job that it retries back into its queue.
    Phase.WAITING: WITH_FAL,
    Phase.RUNNING: WITH_FAL,
    # QUEUED: a submission that seemed refused may be answered after all.
    Phase.STORING: WITH_FAL | {Phase.QUEUED},
    Phase.DONE: set(STATUS_OF),
}


def lock(generation_id: UUID) -> Generation:
    """Lock the generation's row until the transaction ends, and return it.

    Everything that changes the phase of a generation or the state of an output takes this lock first. So of several
    outputs that end at the same time, the last one sees that it is the last.
    """
    return Generation.objects.select_for_update().get(pk=generation_id)


def move(generation: Generation, to: Phase, *, only_from: set[Phase] | None = None, **changes: Any) -> bool:
    """Move the generation to a phase that is not the last, and write `changes`. False if its phase forbids it.

    Args:
        only_from: the phases it may come from, if they are fewer than CAME_FROM allows.
    """
    came_from = Q(phase__in=CAME_FROM[to] if only_from is None else only_from)
    return _write(generation, came_from, phase=to, status=STATUS_OF[to], **changes)


def finish(generation: Generation, status: Status, **changes: Any) -> bool:
    """Move the generation to its last phase. Only STORING may complete; every phase may fail. False if it has ended."""
    came_from = {Phase.STORING} if status == Status.COMPLETED else CAME_FROM[Phase.DONE]
    return _write(
        generation,
        Q(phase__in=came_from),
        phase=Phase.DONE,
        status=status,
        finished_at=Now(),
        next_attempt_at=None,
        queue_position=None,
        **changes,
    )


def update(generation: Generation, **changes: Any) -> bool:
    """Write `changes` without moving the generation. False if it has ended."""
    return _write(generation, ~Q(phase=Phase.DONE), **changes)


def _write(generation: Generation, guard: Q, **changes: Any) -> bool:
    # `version` is the ETag of the API: every change that a client can see raises it.
    moved = Generation.objects.filter(guard, pk=generation.pk).update(version=F("version") + 1, **changes)
    if moved:
        generation.refresh_from_db()
    return bool(moved)


def record_event(generation: Generation, fact: str, *, actor: str, held_change: int = 0, **details: Any) -> None:
    """Add an event to the timeline, in the transaction of the transition that it describes.

    Args:
        fact: what happened, as one word ("submitted", "completed"); the event feed and webhooks are keyed by it.
        actor: who reported or did it: "limn", "fal", "user:<name>" or "staff:<name>".
        held_change: what it changed of the held credits.
        details: other fields of `Event`; strings are cut to 500 characters.
    """
    details = {key: value[:500] if isinstance(value, str) else value for key, value in details.items()}
    event = Event.objects.create(
        generation=generation,
        account_id=generation.account_id,
        fact=fact,
        actor=actor[:150],
        status=generation.status,
        phase=generation.phase,
        version=generation.version,
        held_change=held_change,
        **details,
    )
    event_recorded(generation, event)
