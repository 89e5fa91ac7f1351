"""Which moves are legal, and the one place that writes them.

Every move is a guarded update: it names where the generation must stand, and answers whether it stood there.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.db.models.functions import Now

from generations.lifecycle.event_hook import event_recorded
from generations.models import Event, Generation, Phase, Status

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
    # UNKNOWN too: fal's own record does not know the attempt, so another one is made.
    Phase.QUEUED: {Phase.SUBMITTING, Phase.UNKNOWN},
    Phase.SUBMITTING: {Phase.QUEUED},
    Phase.UNKNOWN: {Phase.SUBMITTING},
    # RUNNING too: fal puts a request that it retries back into its queue.
    Phase.WAITING: WITH_FAL,
    Phase.RUNNING: WITH_FAL,
    # QUEUED too: an attempt that we took for refused may answer after all.
    Phase.STORING: WITH_FAL | {Phase.QUEUED},
    Phase.DONE: set(STATUS_OF),
}


def lock(generation_id: UUID) -> Generation:
    """The row, alone. Whoever moves a generation or its outputs passes here, so that the last one knows it is."""
    return Generation.objects.select_for_update().get(pk=generation_id)


def move(generation: Generation, to: Phase, *, only_from: set[Phase] | None = None, **changes: Any) -> bool:
    """Guarded by where it stands now: of two who move it, one does."""
    came_from = Q(phase__in=CAME_FROM[to] if only_from is None else only_from)
    return _write(generation, came_from, phase=to, status=STATUS_OF[to], **changes)


def finish(generation: Generation, status: Status, **changes: Any) -> bool:
    """The last move. Only what is in storage completes; anything may fail."""
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
    """Change something beside the phase, as long as it is not done."""
    return _write(generation, ~Q(phase=Phase.DONE), **changes)


def _write(generation: Generation, guard: Q, **changes: Any) -> bool:
    moved = Generation.objects.filter(guard, pk=generation.pk).update(version=F("version") + 1, **changes)
    if moved:
        generation.refresh_from_db()
    return bool(moved)


def record_event(generation: Generation, fact: str, *, actor: str, held_change: int = 0, **details: Any) -> None:
    """A line of the timeline, in the transaction of the move that it tells."""
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
