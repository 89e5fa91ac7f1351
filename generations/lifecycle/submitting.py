"""Submission to fal: one POST for each row.

A row is committed before its POST, so a job at fal that no row explains is not Limn's. A submission whose answer was
lost keeps its generation in `unknown`: nothing is submitted again or released until fal's callback, fal's record or the
deadline decides.
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from database.clock import from_now
from database.time_scale import scaled
from generations.catalogue import MODELS
from generations.fal import ProviderReceipt
from generations.lifecycle.ending import failed
from generations.lifecycle.erasing import reopen_erasure
from generations.lifecycle.failures import Failure
from generations.lifecycle.transitions import lock, move, record_event
from generations.models import Generation, Phase, Submission

logger = logging.getLogger(__name__)

# Longer than the longest POST. A sender that has recorded no answer by then was killed or suspended.
SUBMITTING_SECONDS_MAX = scaled(20, at_least=10)
FIRST_POLL_SECONDS = scaled(3)


@transaction.atomic
def submitting(generation: Generation) -> Submission | None:
    """Record that a worker is about to send the planned submission.

    Returns None if another worker sends it, or it is no longer wanted. The caller commits before it sends.
    """
    # If the sender dies, the reconciler finds the row at this time.
    if not move(generation, Phase.SUBMITTING, next_attempt_at=from_now(SUBMITTING_SECONDS_MAX)):
        return None
    submission = Submission.objects.filter(generation=generation, state=Submission.State.PLANNED).latest("number")
    submission.state, submission.sent_at = Submission.State.SENT, timezone.now()
    submission.save(update_fields=["state", "sent_at"])
    record_event(generation, "submitting", actor="limn")
    return submission


@transaction.atomic
def submitted(submission: Submission, receipt: ProviderReceipt) -> bool:
    """Record that fal has accepted the submission, as the receipt, a callback or fal's record shows.

    False if that was known, or if the generation needs no further job: then the job is surplus.
    """
    generation = lock(submission.generation_id)
    submission.refresh_from_db()
    # A request belongs to the submission that named it first, even one of another generation.
    if Submission.objects.filter(request_id=receipt.request_id).exists():
        return False
    if submission.request_id is not None:
        # Two jobs for one submission: something between Limn and fal repeated the POST. The second gets its own row.
        submission = _plan_another(generation)
    is_served = generation.is_done or generation.submissions.filter(state=Submission.State.ACCEPTED).exists()
    _record_receipt(submission, receipt, Submission.State.SURPLUS if is_served else Submission.State.ACCEPTED)
    if is_served:
        # The operator pays for a surplus job. It is cancelled at fal, and staff see it.
        reopen_erasure(generation)
        staff_note = f"request {receipt.request_id} is paid by the operator"
        record_event(generation, "surplus", actor="fal", staff_note=staff_note)
        extra = {"generation": str(generation.pk), "request_id": receipt.request_id}
        logger.error("fal has a surplus job, which the operator pays", extra=extra)
        return False
    # fal gets the full time of the model, however long the order has waited. A model that this process does not know
    # (removed, or not deployed here yet) keeps the deadline it has.
    model = MODELS.get(generation.model)
    deadline = {"deadline_at": from_now(model.deadline_seconds)} if model else {}
    moved = move(
        generation,
        Phase.WAITING,
        only_from={Phase.QUEUED, Phase.SUBMITTING, Phase.UNKNOWN},
        submitted_at=Now(),
        # A cancellation that was requested meanwhile is passed on at once.
        next_attempt_at=Now() if generation.cancel_asked_at else from_now(FIRST_POLL_SECONDS),
        **deadline,
    )
    if moved:
        record_event(generation, "submitted", actor="fal", staff_note=f"request {receipt.request_id}")
    return moved


def _record_receipt(submission: Submission, receipt: ProviderReceipt, state: Submission.State) -> None:
    Submission.objects.filter(pk=submission.pk).update(
        state=state,
        request_id=receipt.request_id,
        status_url=receipt.status_url,
        response_url=receipt.response_url,
        cancel_url=receipt.cancel_url,
        answered_at=timezone.now(),
    )


def surplus_cancelled(submission: Submission) -> None:
    """Record that fal was asked to cancel a surplus job. Its answer changes nothing for the customer."""
    Submission.objects.filter(pk=submission.pk).update(surplus_cancelled_at=timezone.now())


@transaction.atomic
def not_on_record(submission: Submission) -> bool:
    """Plan another submission: the answer was lost, and fal's own record does not know this one.

    False if the submission is no longer unknown.
    """
    generation = lock(submission.generation_id)
    unknown = Submission.objects.filter(pk=submission.pk, state=Submission.State.UNKNOWN)
    if not unknown.update(state=Submission.State.MISSING) or not move(generation, Phase.QUEUED, next_attempt_at=Now()):
        return False
    _plan_another(generation)
    record_event(generation, "not_on_record", actor="fal")
    return True


@transaction.atomic
def submission_lost(submission: Submission, *, detail: str) -> bool:
    """Record that no readable answer came to the submission. The hold stays, and nothing is sent again."""
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
    """Plan another submission: fal certainly did not accept this one, but may accept it later."""
    generation = lock(submission.generation_id)
    if not _record_refusal(submission, detail) or not move(
        generation, Phase.QUEUED, next_attempt_at=from_now(retry_in_seconds)
    ):
        return False
    _plan_another(generation)
    # The name of this fact is older than the function's, and part of the API.
    record_event(generation, "not_taken", actor="fal", staff_note=detail)
    return True


@transaction.atomic
def rejected(submission: Submission, why: Failure) -> bool:
    """Fail the generation: fal will never accept the submission."""
    lock(submission.generation_id)
    return _record_refusal(submission, why.detail) and failed(submission.generation, why, actor="fal")


def _record_refusal(submission: Submission, detail: str) -> bool:
    sent = Submission.objects.filter(pk=submission.pk, state=Submission.State.SENT)
    return bool(sent.update(state=Submission.State.REFUSED, detail=detail[:500], answered_at=timezone.now()))


def _plan_another(generation: Generation) -> Submission:
    return Submission.objects.create(generation=generation, number=1 + generation.submissions.count())
