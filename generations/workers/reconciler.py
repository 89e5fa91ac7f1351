"""Asks fal about the generations that it has. A callback that is lost or late costs seconds, never a result.

It claims generations in the phases submitting, unknown, waiting and running, reports to the lifecycle what fal says,
and enforces deadlines. The loop of `manage.py work` calls `run_once`; `workers.tasks` wakes it.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta

from django.db.models import QuerySet

from database import clock
from database.time_scale import scaled
from generations import lifecycle
from generations.catalogue import MODELS
from generations.fal import Failed, FalError, Finished, Gone, Queued, Running, Unavailable
from generations.jobs import failpoints, leases, parallel
from generations.lifecycle import failure
from generations.models import CancelledBy, FailureCode, Generation, Phase, Submission
from generations.provider import billed_units, clients
from generations.workers import callback_inbox

logger = logging.getLogger(__name__)

LEASE_SECONDS = scaled(90)
# fal deletes a result of 10 KB or more six minutes after it is done (docs/fal.md), so no generation is asked about less
# often than this.
POLL_SECONDS_MAX = scaled(30)
POLL_SECONDS_MIN = scaled(2)
UNKNOWN_RETRY_SECONDS = scaled(15)
# A row that kills its workers is tried rarely, so that the others are not kept waiting.
STUCK_RETRY_SECONDS = scaled(300)
# fal's record may lag behind its queue. A job that is not on record after this time was not accepted. It is not
# documented that the record shows running requests, so a slow model gets twice its usual time.
RECORD_GRACE = timedelta(seconds=scaled(120))
CLOCK_TOLERANCE = timedelta(seconds=scaled(60))
# A lost submission is repeated twice. After that it is not chance.
SUBMISSIONS_MAX = 3
# If fal's record decides nothing for this long (it is unavailable, or identical orders make it ambiguous), the customer
# gets the credits back. If the job turns up after all, the operator pays for it.
UNKNOWN_SECONDS_MAX = timedelta(seconds=scaled(900))
# fal's status may lag behind its receipt for a moment.
GONE_GRACE = timedelta(seconds=scaled(120))
# At the deadline fal is asked to cancel. If it gives no verdict for this long, there is none.
VERDICT_GRACE = timedelta(hours=1)


def due() -> QuerySet[Generation]:
    """Return the rows that are due and that no worker holds."""
    return leases.unleased(Generation.objects.to_reconcile())


def run_once(*, limit: int) -> int:
    """Reconcile up to `limit` due generations. Returns how many."""
    due = leases.claim(Generation.objects.to_reconcile(), limit=limit, seconds=LEASE_SECONDS)
    return parallel.run(due, _reconcile, give_up=_give_up)


def _reconcile(generation: Generation) -> None:
    """Do what the phase calls for, and release the generation until it is to be looked at again."""
    try:
        if callback_inbox.catch_up(generation):
            # A stored callback decided. fal is asked next time, if that is still necessary.
            wait: float = POLL_SECONDS_MIN
        elif generation.phase == Phase.SUBMITTING:
            wait = _expire_sender(generation)
        elif (submission := _accepted(generation)) is None:
            wait = _resolve_unknown(generation)
        else:
            _enforce_deadline(generation)
            _pass_on_cancellation(generation, submission)
            wait = _poll(generation, submission)
    except FalError as error:
        extra = {"generation": str(generation.pk), "error": f"{type(error).__name__}: {error}"}
        logger.warning("fal did not answer the reconciler", extra=extra)
        asked = error.retry_after_seconds if isinstance(error, Unavailable) else None
        wait = max(_poll_interval(generation), asked or 0)
    leases.release(generation, retry_in_seconds=wait)


def _give_up(generation: Generation) -> None:
    """Give up a generation that CRASHES_MAX workers in a row failed to reconcile.

    Callbacks and deadlines still end it, and it is retried rarely, since the cause may have been resolved.
    """
    detail = f"{generation.crashes} workers in a row died while they reconciled it"
    if lifecycle.give_up(generation, detail=detail):
        return
    submission = _accepted(generation)
    if submission is not None:
        _enforce_deadline(generation)
        with suppress(FalError):
            _pass_on_cancellation(generation, submission)
    elif generation.phase == Phase.SUBMITTING:
        _expire_sender(generation)
    elif generation.deadline_at <= clock.now():
        lifecycle.failed(generation, failure(FailureCode.SUBMISSION_UNKNOWN), actor="limn")
    # One crash below the limit: the next worker that dies gives it up at once.
    leases.release(generation, retry_in_seconds=STUCK_RETRY_SECONDS, crashes=leases.CRASHES_MAX - 1)


def _accepted(generation: Generation) -> Submission | None:
    return generation.submissions.filter(state=Submission.State.ACCEPTED).order_by("-number").first()


# --- Submissions without an answer ----------------------------------------------------------------------------------


def _expire_sender(generation: Generation) -> float:
    """Give up on a sender that has recorded no answer for longer than a POST can take: it was killed or suspended."""
    for submission in generation.submissions.filter(state=Submission.State.SENT):
        # A cancellation or a queue message makes the row due early; then the sender still has time.
        if (left := lifecycle.SUBMITTING_SECONDS_MAX - _age(submission).total_seconds()) > 0:
            return left
        lifecycle.submission_lost(submission, detail="the sender recorded no answer")
    return UNKNOWN_RETRY_SECONDS


def _resolve_unknown(generation: Generation) -> float:
    """Look for the job in fal's record. It stays unknown until that, a callback or the deadline decides."""
    submission = generation.submissions.filter(state=Submission.State.UNKNOWN).order_by("number").last()
    if submission is None or _age(submission) > UNKNOWN_SECONDS_MAX or generation.deadline_at <= clock.now():
        lifecycle.failed(generation, failure(FailureCode.SUBMISSION_UNKNOWN), actor="limn")
        return UNKNOWN_RETRY_SECONDS
    # fal's requests with exactly these arguments, around the time of the submission.
    sent_at = submission.sent_at or submission.created_at
    since, until = sent_at - CLOCK_TOLERANCE, sent_at + RECORD_GRACE
    recorded = clients.fal().find_requests(generation.endpoint, generation.arguments, since=since, until=until)
    # An unclaimed request may belong to any submission, of any account, with the same arguments and no request id yet.
    # Asked after the record was read: an identical submission that the record shows was planned before it was posted,
    # and knows its request afterwards. So it is found here, or its request is not unclaimed below.
    unanswered = Submission.objects.filter(state__in=[Submission.State.SENT, Submission.State.UNKNOWN])
    # Equal orders have an equal hash, which an index finds. Of those, an upload is sent under another URL each time.
    identical = unanswered.exclude(pk=submission.pk).filter(
        generation__arguments_hash=generation.arguments_hash, generation__arguments=generation.arguments
    )
    is_ambiguous = identical.exists()
    claimed = set(Submission.objects.filter(request_id__in=recorded).values_list("request_id", flat=True))
    candidates = [request_id for request_id in recorded if request_id not in claimed]
    model = MODELS.get(generation.model)
    grace = max(RECORD_GRACE, 2 * timedelta(seconds=scaled(model.typical_seconds if model else 0)))
    if len(candidates) == 1 and not is_ambiguous:
        lifecycle.submitted(submission, clients.fal().receipt_for(generation.endpoint, candidates[0]))
    elif not candidates and _age(submission) > grace and submission.number < SUBMISSIONS_MAX:
        lifecycle.not_on_record(submission)
    return UNKNOWN_RETRY_SECONDS


def _age(submission: Submission) -> timedelta:
    return clock.now() - (submission.sent_at or submission.created_at)


# --- Accepted submissions -------------------------------------------------------------------------------------------


def _enforce_deadline(generation: Generation) -> None:
    """Cancel the generation at its deadline, and fail it if fal gives no verdict long after."""
    now = clock.now()
    if generation.deadline_at + VERDICT_GRACE <= now:
        lifecycle.failed(generation, failure(FailureCode.DEADLINE, detail="fal gave no verdict"), actor="limn")
    elif generation.deadline_at <= now and generation.cancel_asked_at is None:
        lifecycle.cancel_asked(generation, by=CancelledBy.DEADLINE, actor="limn")
        generation.refresh_from_db()


def _pass_on_cancellation(generation: Generation, submission: Submission) -> None:
    if generation.cancel_asked_at is None or generation.cancel_sent_at is not None:
        return
    verdict = clients.fal().cancel(clients.receipt_of(submission).cancel_url)
    lifecycle.cancel_sent(generation)
    if verdict == "removed":
        # It was still in fal's queue. A job that runs is ended by its own verdict.
        lifecycle.cancelled(generation)


def _poll(generation: Generation, submission: Submission) -> float:
    """Ask for the status, and for the result once there is one. Returns the seconds until the next poll."""
    try:
        status = clients.fal().status(clients.receipt_of(submission).status_url)
        match status:
            case Queued():
                lifecycle.progressed(generation, running=False, position=status.position)
            case Running():
                lifecycle.progressed(generation, running=True, line=status.log)
            case Finished():
                _report_result(submission, status)
    except Gone as error:
        return _handle_gone(generation, submission, error)
    return _poll_interval(generation)


def _report_result(submission: Submission, status: Finished) -> None:
    """Read the stored result of a finished job, and report it to the lifecycle."""
    try:
        verdict = clients.fal().result(clients.receipt_of(submission).response_url)
    except FalError:
        if status.reason is None:
            raise
        # The status alone says that it failed. The details, such as which input is wrong, are gone.
        verdict = Failed(reason=status.reason)
    if status.reason is not None and not isinstance(verdict, Failed):
        verdict = Failed(reason=status.reason)
    if verdict.billable_units is not None:
        billed_units.record_units(submission, verdict.billable_units)
    failpoints.reach("asked")
    if isinstance(verdict, Failed):
        lifecycle.answered_error(submission, verdict.reason)
    else:
        lifecycle.answered(submission, verdict.answer)


def _handle_gone(generation: Generation, submission: Submission, error: Gone) -> float:
    """Handle a job that fal does not know (404): it expired, or fal's status lags behind its receipt."""
    since = submission.answered_at or submission.created_at
    if clock.now() - since > GONE_GRACE:
        logger.error("fal no longer knows an accepted job", extra={"generation": str(generation.pk)})
        lifecycle.failed(generation, failure(FailureCode.RESULT_EXPIRED, detail=str(error)), actor="fal")
    return POLL_SECONDS_MAX


def _poll_interval(generation: Generation) -> float:
    """Return a quarter of the generation's age in seconds, within the limits: a young generation is polled often."""
    age = (clock.now() - (generation.submitted_at or generation.created_at)).total_seconds()
    return min(max(age / 4, POLL_SECONDS_MIN), POLL_SECONDS_MAX)
