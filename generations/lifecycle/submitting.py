"""Submission to fal: one POST for each row.

A row is committed before its POST, so a job at fal that no row explains is not Limn's. A submission whose answer was
lost keeps its generation in `unknown`: nothing is submitted again or released until fal's callback, fal's record or the
deadline decides.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from typing import Any

from django.db import IntegrityError, InternalError, OperationalError, transaction

from database import clock
from database.statements import Insert, Step, execute_together
from database.time_scale import scaled
from database.transactions import is_passing, repeat, repeated
from generations.catalogue import MODELS
from generations.fal import ProviderReceipt, Reason
from generations.lifecycle import statements
from generations.lifecycle.ending import fail
from generations.lifecycle.erasing import reopen_erasure
from generations.lifecycle.failures import Failure, failure_for
from generations.lifecycle.transitions import (
    CAME_FROM,
    Fact,
    StaleGeneration,
    lock,
    lock_of,
    move,
    record_event,
    seconds_after,
)
from generations.models import Generation, Phase, Submission

logger = logging.getLogger(__name__)

# Longer than the longest POST. A sender that has recorded no answer by then was killed or suspended.
SUBMITTING_SECONDS_MAX = scaled(20, at_least=10)
FIRST_POLL_SECONDS = scaled(3)
UNDECIDED = (Submission.State.SENT, Submission.State.UNKNOWN)
# Patience with a question ends with it: the next question of the generation is another one.
NO_QUESTION: dict[str, Any] = {"unanswered_since": None, "unanswered_until": None}


@transaction.atomic
def submitting(generation: Generation) -> Submission | None:
    """Record that a worker is about to send the planned submission.

    Returns None if another worker sends it, or it is no longer wanted. The caller commits before it sends.
    """
    generation = lock(generation.pk)
    submission = generation.submissions.filter(state=Submission.State.PLANNED).order_by("-number").first()
    if submission is None:
        return None
    submission.state, submission.sent_at = Submission.State.SENT, clock.now()
    moved = move(
        generation,
        Phase.SUBMITTING,
        Fact(name="submitting", actor="limn"),
        # If the sender dies, the reconciler finds the row at this time.
        next_attempt_at=seconds_after(generation, SUBMITTING_SECONDS_MAX),
        together=[statements.update_submission(submission, ["state", "sent_at"])],
    )
    return submission if moved else None


def submitted(submission: Submission, receipt: ProviderReceipt) -> bool:
    """Record that fal has accepted the submission, as the receipt, a callback or fal's record shows.

    False if that was known, or if the generation needs no further job: then the job is surplus.
    """
    moved = _is_sender(submission) and _submitted_if_unchanged(submission, receipt)
    if not moved:

        def record() -> bool:
            return submitted_locked(lock_of(submission), submission, receipt)

        try:
            moved = repeat(record)
        except IntegrityError:
            # Another order has recorded the same request a moment ago. Now its row is found.
            moved = repeat(record)
    if moved:
        # For the caller, who shows it.
        submission.state, submission.request_id = Submission.State.ACCEPTED, receipt.request_id
    return moved


def _is_sender(submission: Submission) -> bool:
    """Return whether the caller has recorded the submission as sent, and has the generation as that left it.

    `now` is set only by what has locked or written the row.
    """
    return (
        submission.state == Submission.State.SENT
        and Submission.generation.is_cached(submission)
        and submission.generation.phase == Phase.SUBMITTING
        and hasattr(submission.generation, "now")
    )


def _submitted_if_unchanged(submission: Submission, receipt: ProviderReceipt) -> bool:
    """Record the receipt of a submission without reading anything, if nothing has happened since it was sent.

    Everything that could decide otherwise, such as a callback, a cancellation or another job, has raised the version of
    the generation or has stored the request id. Then nothing is written, and the receipt is recorded under the lock.
    """
    generation, sent = submission.generation, copy(submission)
    generation.advance_now()
    try:
        with transaction.atomic():
            return _accept(generation, sent, receipt)
    except (StaleGeneration, IntegrityError):
        return False
    except (OperationalError, InternalError) as error:
        if not is_passing(error):
            raise
        return False


def submitted_locked(generation: Generation, submission: Submission, receipt: ProviderReceipt) -> bool:
    """Record that fal has accepted a submission of a locked generation, as `submitted` does."""
    known = statements.submissions_of(generation, request_id=receipt.request_id)
    if (owner := next((each for each in known if each.request_id == receipt.request_id), None)) is not None:
        # A request belongs to the submission that named it first, even one of another generation.
        if owner.generation_id != generation.pk:
            _dispute(generation, submission, owner)
        return False
    is_served = generation.is_done or any(each.state == Submission.State.ACCEPTED for each in known)
    # As it is now: another process may have changed it since the caller read it.
    submission = next(each for each in known if each.pk == submission.pk)
    if submission.request_id is not None:
        # Two jobs for one submission: something between Limn and fal repeated the POST. The second gets its own row.
        submission = Submission.objects.create(generation=generation, number=1 + len(known))
    submission.state = Submission.State.SURPLUS if is_served else Submission.State.ACCEPTED
    submission.generation = generation
    if is_served:
        # The operator pays for a surplus job. It is cancelled at fal, and staff see it.
        execute_together(_receipt_of(submission, receipt))
        reopen_erasure(generation)
        staff_note = f"request {receipt.request_id} is paid by the operator"
        record_event(generation, Fact(name="surplus", actor="fal", staff_note=staff_note))
        extra = {"generation": str(generation.pk), "request_id": receipt.request_id}
        logger.error("fal has a surplus job, which the operator pays", extra=extra)
        return False
    if _accept(generation, submission, receipt):
        return True
    execute_together(_receipt_of(submission, receipt))
    return False


def _dispute(generation: Generation, submission: Submission, owner: Submission) -> None:
    """Record that fal named a request that another order has. Nothing is submitted again: one of the two is paid for.

    The callback of the submission may name its own request later. Otherwise its generation fails at its deadline.
    """
    detail = f"fal named request {owner.request_id}, which belongs to generation {owner.generation_id}"
    undecided = Submission.objects.filter(pk=submission.pk, request_id=None, state__in=UNDECIDED)
    if not undecided.update(state=Submission.State.DISPUTED, detail=detail, answered_at=generation.now):
        return
    logger.error("fal named one request for two orders", extra={"generation": str(generation.pk), "detail": detail})
    fact = Fact(name="disputed", actor="fal", staff_note=detail)
    if not move(generation, Phase.UNKNOWN, fact, next_attempt_at=seconds_after(generation, FIRST_POLL_SECONDS)):
        record_event(generation, fact)


@repeated
def ambiguous(submission: Submission, *, request_ids: Sequence[str]) -> bool:
    """Record that fal has jobs that may be the submission's, though nothing proves it. False if staff know already."""
    generation = lock_of(submission)
    if generation.is_done or generation.events.filter(fact="ambiguous").exists():
        return False
    staff_note = f"perhaps the jobs of another program: {', '.join(request_ids)}"
    record_event(generation, Fact(name="ambiguous", actor="fal", staff_note=staff_note))
    return True


def _accept(generation: Generation, submission: Submission, receipt: ProviderReceipt) -> bool:
    """Make the submission the accepted one of its generation. False if the phase of the generation forbids it."""
    submission.state = Submission.State.ACCEPTED
    # fal gets the full time of the model, however long the order has waited. A model that this process does not know
    # (removed, or not deployed here yet) keeps the deadline it has.
    model = MODELS.get(generation.model)
    deadline = {"deadline_at": seconds_after(generation, model.deadline_seconds)} if model else {}
    return move(
        generation,
        Phase.WAITING,
        Fact(name="submitted", actor="fal", staff_note=f"request {receipt.request_id}"),
        only_from={Phase.QUEUED, Phase.SUBMITTING, Phase.UNKNOWN},
        submitted_at=generation.now,
        # A cancellation that was requested meanwhile is passed on at once.
        next_attempt_at=generation.now if generation.cancel_asked_at else seconds_after(generation, FIRST_POLL_SECONDS),
        together=[_receipt_of(submission, receipt)],
        **deadline,
        **NO_QUESTION,
    )


def _receipt_of(submission: Submission, receipt: ProviderReceipt) -> Step:
    submission.request_id = receipt.request_id
    submission.status_url, submission.response_url = receipt.status_url, receipt.response_url
    submission.cancel_url = receipt.cancel_url
    submission.answered_at = clock.now()
    columns = ["state", "request_id", "status_url", "response_url", "cancel_url", "answered_at"]
    return statements.update_submission(submission, columns)


def surplus_cancelled(submission: Submission) -> None:
    """Record that fal was asked to cancel a surplus job. Its answer changes nothing for the customer."""
    Submission.objects.filter(pk=submission.pk).update(surplus_cancelled_at=clock.now())


@repeated
def not_on_record(submission: Submission) -> bool:
    """Plan another submission: the answer was lost, and fal's own record does not know this one.

    False if the submission is no longer unknown.
    """
    generation = lock_of(submission)
    unknown = Submission.objects.filter(pk=submission.pk, state=Submission.State.UNKNOWN)
    return bool(unknown.update(state=Submission.State.MISSING)) and _queue_again(
        generation, Fact(name="not_on_record", actor="fal"), together=[_plan_another(generation)], **NO_QUESTION
    )


@repeated
def not_sent(submission: Submission, *, detail: str) -> bool:
    """Take a submission back: its sender has certainly not sent it. False if it has been resolved otherwise."""
    generation = lock_of(submission)
    open_ones = Submission.objects.filter(state__in=[Submission.State.SENT, Submission.State.UNKNOWN])
    taken_back = open_ones.filter(pk=submission.pk).update(state=Submission.State.PLANNED, sent_at=None)
    fact = Fact(name="not_sent", actor="limn", staff_note=detail)
    return bool(taken_back) and _queue_again(generation, fact, retry_in_seconds=FIRST_POLL_SECONDS, **NO_QUESTION)


@repeated
def submission_lost(submission: Submission, *, detail: str) -> bool:
    """Record that no readable answer came to the submission. The hold stays, and nothing is sent again."""
    generation = lock_of(submission)
    sent = Submission.objects.filter(pk=submission.pk, state=Submission.State.SENT)
    return bool(sent.update(state=Submission.State.UNKNOWN, detail=detail[:500])) and move(
        generation,
        Phase.UNKNOWN,
        Fact(name="submission_lost", actor="limn", staff_note=detail),
        next_attempt_at=seconds_after(generation, FIRST_POLL_SECONDS),
        **NO_QUESTION,
    )


@repeated
def submission_refused(submission: Submission, *, detail: str, retry_in_seconds: float, actor: str = "fal") -> bool:
    """Plan another submission: fal certainly did not accept this one, but may accept it later.

    Args:
        actor: "fal" if it has refused it, "limn" if it could not be reached.
    """
    generation = lock_of(submission)
    generation.record_unanswered(generation.now)
    return _record_refusal(submission, detail) and _queue_again(
        generation,
        # The name of this fact is older than the function's, and part of the API.
        Fact(name="not_taken", actor=actor, staff_note=detail),
        retry_in_seconds=retry_in_seconds,
        together=[_plan_another(generation)],
        **generation.unanswered_columns(retry_in_seconds),
    )


def _queue_again(
    generation: Generation, fact: Fact, *, retry_in_seconds: float = 0.0, together: Sequence[Step] = (), **changes: Any
) -> bool:
    """Return a locked generation to the queue: fal certainly does not have it. End it if it is to be cancelled."""
    if generation.cancel_asked_at is not None and generation.phase in CAME_FROM[Phase.QUEUED]:
        reason = Reason(code="cancelled", retryable=True, detail=f"{fact.name}: {fact.staff_note}")
        return fail(generation, failure_for(generation, reason), actor="limn")
    due_at = seconds_after(generation, retry_in_seconds)
    return move(generation, Phase.QUEUED, fact, together=together, next_attempt_at=due_at, **changes)


@repeated
def rejected(submission: Submission, why: Failure, *, actor: str = "fal") -> bool:
    """Fail the generation: fal will never accept the submission, or could not be reached until the deadline.

    Not if fal has accepted another submission of it meanwhile.
    """
    generation = lock_of(submission)
    is_refused = _record_refusal(submission, why.detail)
    return is_refused and generation.phase == Phase.SUBMITTING and fail(generation, why, actor=actor)


def _record_refusal(submission: Submission, detail: str) -> bool:
    sent = Submission.objects.filter(pk=submission.pk, state=Submission.State.SENT)
    return bool(sent.update(state=Submission.State.REFUSED, detail=detail[:500], answered_at=clock.now()))


def new_submission(generation: Generation, *, number: int = 1) -> Submission:
    """Return another submission of a generation, not saved. Its seed tells its job from those of all others."""
    model = MODELS.get(generation.model)
    return Submission(
        generation=generation, number=number, seed=model.draw_seed(generation.arguments) if model else None
    )


def _plan_another(generation: Generation) -> Step:
    return Insert([new_submission(generation, number=1 + generation.submissions.count())])
