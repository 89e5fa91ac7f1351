"""The legal transitions of a generation, and the only code that writes its status.

A transition is decided under the lock of the generation's row and written in one statement, together with the event
that describes it and everything else that changes with it. Of two processes that report the same fact, the second one
sees what the first one has written. Which rows are locked before which others: docs/decisions/0009-locks.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from database.statements import Insert, Step, execute_together, read_values
from generations.lifecycle import statements
from generations.models import Batch, Event, Generation, Phase, Status, Submission
from generations.progress.event_hook import events_recorded, reads_of

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


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What an event of the timeline says beside the state of its generation."""

    name: str
    """What happened, as one word ("submitted", "completed"); the event feed and webhooks are keyed by it."""
    actor: str
    """Who reported or did it: "limn", "fal", "user:<name>" or "staff:<name>"."""
    note: str = ""
    """For the customer."""
    staff_note: str = ""
    held_change: int = 0
    balance_change: int = 0


class StaleGeneration(Exception):
    """The row was changed by code that did not hold its lock. The transaction must be rolled back."""


def lock(generation_id: UUID) -> Generation:
    """Lock the generation's row until the transaction ends, and return it.

    Everything that changes the phase of a generation or the state of an output takes this lock first. So of several
    outputs that end at the same time, the last one sees that it is the last.
    """
    return statements.lock_generation(generation_id)


def lock_all_of(batch: Batch) -> list[Generation]:
    """Lock the generations of a batch that have not ended, and return them; not those that are locked already."""
    return statements.lock_generations_of(batch.pk)


def lock_of(submission: Submission) -> Generation:
    """Lock the generation of a submission, and make it the one that the caller's submission refers to."""
    submission.generation = lock(submission.generation_id)
    return submission.generation


def seconds_after(generation: Generation, seconds: float) -> datetime:
    """Return the moment `seconds` after the generation was locked, by the clock of the database."""
    return generation.now + timedelta(seconds=seconds)


def move(
    generation: Generation,
    to: Phase,
    fact: Fact | None = None,
    *,
    only_from: set[Phase] | None = None,
    together: Sequence[Step] = (),
    **changes: Any,
) -> bool:
    """Move a locked generation to a phase that is not the last. False if its phase forbids it.

    Args:
        fact: what to add to the timeline.
        only_from: the phases it may come from, if they are fewer than CAME_FROM allows.
        together: what else to write, in the same statement.
        changes: the values of other columns.
    """
    if generation.phase not in (CAME_FROM[to] if only_from is None else only_from):
        return False
    _write(generation, {"phase": to, "status": STATUS_OF[to]} | changes, fact, together)
    return True


def can_finish(generation: Generation, status: Status) -> bool:
    """Return whether a locked generation may end with this status. Only STORING may complete; every phase may fail."""
    return generation.phase in ({Phase.STORING} if status == Status.COMPLETED else CAME_FROM[Phase.DONE])


def finish(
    generation: Generation, status: Status, fact: Fact, *, together: Sequence[Step] = (), **changes: Any
) -> None:
    """Move a locked generation to its last phase, if `can_finish`. Arguments as for `move`."""
    _write(generation, _end_of(generation, status) | changes, fact, together)


def finish_all(
    generations: Sequence[Generation],
    status: Status,
    facts: Sequence[Fact],
    *,
    copied: Mapping[str, str],
    together: Sequence[Step] = (),
    **changes: Any,
) -> None:
    """Move locked generations of one account to their last phase. Arguments as for `finish` and `update_all`."""
    update_all(generations, facts, copied=copied, together=together, **_end_of(generations[0], status) | changes)


def _end_of(generation: Generation, status: Status) -> dict[str, Any]:
    ended = {"phase": Phase.DONE, "status": status, "finished_at": generation.now}
    return ended | {"next_attempt_at": None, "queue_position": None, "message": ""}


def update(generation: Generation, fact: Fact | None = None, **changes: Any) -> bool:
    """Write `changes` of a locked generation without moving it. False if it has ended."""
    if generation.is_done:
        return False
    _write(generation, changes, fact)
    return True


def update_all(
    generations: Sequence[Generation],
    facts: Sequence[Fact],
    *,
    copied: Mapping[str, str] | None = None,
    together: Sequence[Step] = (),
    **changes: Any,
) -> None:
    """Write the same `changes` of locked generations of one account, none of which has ended, in one statement.

    Args:
        facts: what to add to the timeline of each.
        copied: the columns that get the value of another column of their row, by name.
        together: what else to write, in the same statement.
    """
    copied = copied or {}
    for generation in generations:
        for name, value in (changes | {name: getattr(generation, other) for name, other in copied.items()}).items():
            setattr(generation, name, value)
        generation.version += 1
    events = [new_event(generation, fact) for generation, fact in zip(generations, facts, strict=True)]
    written = execute_together(
        statements.update_generations(generations, changes, copied=copied),
        Insert(events),
        *together,
        reads=reads_of(generations[0].account_id),
    )
    if len(written) != len(generations):
        raise StaleGeneration(f"one of {len(generations)} generations was changed without its lock")
    _, *values = written[0]
    events_recorded(events, values)


def _write(
    generation: Generation, changes: Mapping[str, Any], fact: Fact | None, together: Sequence[Step] = ()
) -> None:
    for name, value in changes.items():
        setattr(generation, name, value)
    # `version` is the ETag of the API: every change that a client can see raises it.
    generation.version += 1
    event = new_event(generation, fact) if fact else None
    reads = reads_of(generation.account_id) if event else []
    written = execute_together(
        statements.update_generation(generation, changes), *([Insert([event])] if event else []), *together, reads=reads
    )
    if not written:
        raise StaleGeneration(f"{generation} was changed without its lock")
    if event:
        _, *values = written[0]
        events_recorded([event], values)


def record_event(generation: Generation, fact: Fact) -> None:
    """Add an event that changes nothing, in the transaction of what it describes."""
    event = new_event(generation, fact)
    event.save(force_insert=True)
    events_recorded([event], read_values(reads_of(event.account_id)))


def new_event(generation: Generation, fact: Fact) -> Event:
    """Return the event for a fact about the generation as it is now, not saved. Notes are cut to 500 characters."""
    return Event(
        generation=generation,
        account_id=generation.account_id,
        fact=fact.name,
        actor=fact.actor[:150],
        status=generation.status,
        phase=generation.phase,
        version=generation.version,
        note=fact.note[:500],
        staff_note=fact.staff_note[:500],
        held_change=fact.held_change,
        balance_change=fact.balance_change,
    )
