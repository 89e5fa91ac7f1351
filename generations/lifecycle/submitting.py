"""Handing a generation to fal: one row an attempt, one POST a row."""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from database.clock import from_now
from database.time_scale import scaled
from generations.catalogue import MODELS
from generations.fal import Receipt
from generations.lifecycle.ending import failed
from generations.lifecycle.erasing import reopen_erasure
from generations.lifecycle.failures import Failure
from generations.lifecycle.transitions import lock, move, record_event
from generations.models import Generation, Phase, Submission

logger = logging.getLogger(__name__)

# Longer than the longest POST; who is silent for longer was killed between sending and noting the answer.
SUBMITTING_SECONDS_MAX = scaled(20, at_least=10)
FIRST_POLL_SECONDS = scaled(3)


@transaction.atomic
def submitting(generation: Generation) -> Submission | None:
    """About to send the planned attempt. None when somebody else is, or it is no longer wanted."""
    lapses_at = from_now(SUBMITTING_SECONDS_MAX)
    if not move(generation, Phase.SUBMITTING, next_attempt_at=lapses_at):
        return None
    submission = Submission.objects.filter(generation=generation, state=Submission.State.PLANNED).latest("number")
    submission.state, submission.sent_at = Submission.State.SENT, timezone.now()
    submission.save(update_fields=["state", "sent_at"])
    record_event(generation, "submitting", actor="limn")
    return submission


@transaction.atomic
def submitted(submission: Submission, ticket: Receipt) -> bool:
    """fal has it. Told by its receipt, by a callback that came before the receipt, or by fal's record."""
    generation = lock(submission.generation_id)
    submission.refresh_from_db()
    # Another order's, too: a request is the one attempt's that named it first, and is never taken away from it.
    if Submission.objects.filter(request_id=ticket.request_id).exists():
        return False
    if submission.request_id is not None:
        # One attempt, two jobs: somebody between us and fal repeated the POST.
        submission = _plan_another(generation)
    if _is_served(generation):
        return _surplus(generation, submission, ticket)
    _accept(submission, ticket, Submission.State.ACCEPTED)
    # A cancellation that came while we were submitting is passed on at once.
    poll_at = Now() if generation.cancel_asked_at else from_now(FIRST_POLL_SECONDS)
    came_from = {Phase.QUEUED, Phase.SUBMITTING, Phase.UNKNOWN}
    # However long it waited: fal has all the time that the model may take. One whose declaration is gone by
    # now, or has not come to this process yet, keeps the time that it had.
    model = MODELS.get(generation.model)
    deadline = {"deadline_at": from_now(model.deadline_seconds)} if model else {}
    moved = move(
        generation, Phase.WAITING, only_from=came_from, submitted_at=Now(), next_attempt_at=poll_at, **deadline
    )
    if moved:
        record_event(generation, "submitted", actor="fal", staff_note=f"request {ticket.request_id}")
    return moved


def _is_served(generation: Generation) -> bool:
    """Whether the generation has ended, or a job of fal's works on it already."""
    return generation.is_done or generation.submissions.filter(state=Submission.State.ACCEPTED).exists()


def _surplus(generation: Generation, submission: Submission, ticket: Receipt) -> bool:
    """A job that nobody needs any more. The operator pays for it; it is withdrawn at fal, and staff see it."""
    _accept(submission, ticket, Submission.State.SURPLUS)
    reopen_erasure(generation)
    record_event(generation, "surplus", actor="fal", staff_note=f"request {ticket.request_id} is paid by the operator")
    extra = {"generation": str(generation.pk), "request_id": ticket.request_id}
    logger.error("a surplus job at fal, paid by the operator", extra=extra)
    return False


def _accept(submission: Submission, ticket: Receipt, state: Submission.State) -> None:
    Submission.objects.filter(pk=submission.pk).update(
        state=state,
        request_id=ticket.request_id,
        status_url=ticket.status_url,
        response_url=ticket.response_url,
        cancel_url=ticket.cancel_url,
        answered_at=timezone.now(),
    )


def surplus_cancelled(submission: Submission) -> None:
    """fal was asked to stop a surplus job. What it answers changes nothing for the customer."""
    Submission.objects.filter(pk=submission.pk).update(withdrawn_at=timezone.now())


@transaction.atomic
def not_on_record(submission: Submission) -> bool:
    """The answer was lost, and fal's own record does not know the attempt: another one is planned."""
    generation = lock(submission.generation_id)
    unknown = Submission.objects.filter(pk=submission.pk, state=Submission.State.UNKNOWN)
    if not unknown.update(state=Submission.State.MISSING) or not move(generation, Phase.QUEUED, next_attempt_at=Now()):
        return False
    _plan_another(generation)
    record_event(generation, "not_on_record", actor="fal")
    return True


@transaction.atomic
def submission_lost(submission: Submission, *, detail: str) -> bool:
    """Sent, and no understandable answer came. The hold stays; nobody sends it again or releases it yet."""
    generation = lock(submission.generation_id)
    sent = Submission.objects.filter(pk=submission.pk, state=Submission.State.SENT)
    if not sent.update(state=Submission.State.UNKNOWN, detail=detail[:500]):
        return False
    moved = move(generation, Phase.UNKNOWN, next_attempt_at=from_now(FIRST_POLL_SECONDS))
    if moved:
        record_event(generation, "submission_lost", actor="limn", staff_note=detail)
    return moved


@transaction.atomic
def submission_refused(submission: Submission, *, detail: str, retry_in_seconds: float) -> bool:
    """fal certainly did not take it, now. Another attempt is planned."""
    generation = lock(submission.generation_id)
    if not _refuse(submission, detail) or not move(
        generation, Phase.QUEUED, next_attempt_at=from_now(retry_in_seconds)
    ):
        return False
    _plan_another(generation)
    record_event(generation, "not_taken", actor="fal", staff_note=detail)
    return True


@transaction.atomic
def rejected(submission: Submission, why: Failure) -> bool:
    """fal will never take it."""
    lock(submission.generation_id)
    return _refuse(submission, why.detail) and failed(submission.generation, why, actor="fal")


def _refuse(submission: Submission, detail: str) -> bool:
    sent = Submission.objects.filter(pk=submission.pk, state=Submission.State.SENT)
    return bool(sent.update(state=Submission.State.REFUSED, detail=detail[:500], answered_at=timezone.now()))


def _plan_another(generation: Generation) -> Submission:
    return Submission.objects.create(generation=generation, number=1 + generation.submissions.count())
