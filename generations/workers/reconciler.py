"""Asks fal about the generations that it has. A callback that is lost or late costs seconds, never a result.

It claims generations in the phases submitting, unknown, waiting and running, reports to the lifecycle what fal says,
and enforces deadlines. The loop of `manage.py work` calls `run_once`; `workers.tasks` wakes it.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime, timedelta

from django.db.models import QuerySet

from database import clock
from database.time_scale import scaled
from database.transactions import UNAVAILABLE
from generations import lifecycle
from generations.catalogue import MODELS
from generations.fal import Failed, FalError, Finished, Forbidden, Gone, Queued, Running, Unavailable
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
# After its deadline, a generation whose submission remains unknown fails when fal's record has not decided for this
# long. If the job turns up after all, the operator pays for it.
UNKNOWN_PATIENCE = timedelta(seconds=scaled(900))
# fal's status may lag behind its receipt for a moment.
GONE_PATIENCE = timedelta(seconds=scaled(120))
# At the deadline fal is asked to cancel. If it gives no verdict for this long, there is none.
VERDICT_PATIENCE = timedelta(seconds=scaled(3600))
# fal keeps files for seven days.
RESULT_KEPT = timedelta(seconds=lifecycle.COPY_SECONDS_MAX)
UNKNOWN = (Submission.State.UNKNOWN, Submission.State.DISPUTED)


class _Undecided(Exception):
    """fal's record does not tell which of its jobs belongs to the submission, if any."""


def due() -> QuerySet[Generation]:
    """Return the rows that are due and that no worker holds."""
    return leases.unleased(Generation.objects.to_reconcile())


def run_once(*, limit: int) -> int:
    """Reconcile up to `limit` due generations. Returns how many."""
    due = leases.claim(Generation.objects.to_reconcile(), limit=limit, seconds=LEASE_SECONDS)
    return parallel.run(due, _reconcile, give_up=_give_up, lease_seconds=LEASE_SECONDS)


def _reconcile(generation: Generation) -> None:
    """Do what the phase calls for, and release the generation until it is to be looked at again."""
    submission: Submission | None = None
    try:
        if callback_inbox.catch_up(generation):
            # A stored callback decided. fal is asked next time, if that is still necessary.
            wait: float = POLL_SECONDS_MIN
        elif generation.phase == Phase.SUBMITTING:
            wait = _expire_sender(generation)
        elif (submission := _accepted(generation)) is None:
            wait = _resolve_unknown(generation)
        else:
            wait = _ask(generation, submission)
        generation.record_answered()
    except UNAVAILABLE:
        raise
    except Exception as error:
        wait = _after_no_answer(generation, submission, error)
    leases.release(generation, retry_in_seconds=wait, changes=generation.unanswered_columns(wait))


def _after_no_answer(generation: Generation, submission: Submission | None, error: Exception) -> float:
    """Return the seconds until the question is asked again. After its deadline, patience ends: fail the generation.

    An error of Limn, and a key that fal refuses, are no silence of fal: `_wait_for_staff` handles them.
    Patience begins with the first question that remains unanswered, so a generation that is late because Limn was down
    has all of it.
    """
    now = clock.now()
    unanswered = generation.record_unanswered(now)
    detail = f"{type(error).__name__}: {error}"
    extra = {"generation": str(generation.pk), "error": detail}
    is_fals = isinstance(error, FalError | _Undecided)
    logger.warning("a question about a generation has no answer", extra=extra, exc_info=not is_fals)
    if not is_fals or (submission is not None and isinstance(error, Forbidden)):
        _wait_for_staff(generation, unanswered, detail)
    elif generation.deadline_at <= now and unanswered >= (UNKNOWN_PATIENCE if submission is None else VERDICT_PATIENCE):
        code = FailureCode.SUBMISSION_UNKNOWN if submission is None else FailureCode.DEADLINE
        lifecycle.failed(generation, failure(code, detail=f"fal gave no verdict: {detail}"), actor="limn")
    if submission is None and is_fals:
        return UNKNOWN_RETRY_SECONDS
    asked = error.retry_after_seconds if isinstance(error, Unavailable) else None
    return max(_poll_interval(generation), asked or 0)


def _wait_for_staff(generation: Generation, unanswered: timedelta, detail: str) -> None:
    """Handle an error of Limn, or a key that fal refuses: staff are told, and may correct it while fal has the file."""
    if unanswered >= UNKNOWN_PATIENCE and not lifecycle.give_up(generation, detail=detail):
        _fail_when_deleted(generation, generation.deadline_at, detail)


def _fail_when_deleted(generation: Generation, since: datetime, detail: str) -> bool:
    """Fail a generation that Limn could not finish for as long as fal keeps files. Returns whether it is time to."""
    is_deleted = since + RESULT_KEPT <= clock.now()
    if is_deleted:
        lifecycle.failed(generation, failure(FailureCode.INTERNAL_ERROR, detail=detail), actor="limn")
    return is_deleted


def _give_up(generation: Generation) -> None:
    """Give up a generation that CRASHES_MAX workers in a row failed to reconcile.

    Callbacks still end it, and it is asked about rarely, since the cause may have been resolved. It fails when it is
    late, and has killed its workers for as long as fal keeps files.
    """
    detail = f"{generation.crashes} workers in a row died while they reconciled it"
    if lifecycle.give_up(generation, detail=detail):
        return
    now, submission = clock.now(), _accepted(generation)
    stuck_since = generation.events.filter(fact="stuck").values_list("created_at", flat=True).first() or now
    if _fail_when_deleted(generation, max(stuck_since, generation.deadline_at), detail):
        return
    if generation.phase == Phase.SUBMITTING:
        _expire_sender(generation)
    elif submission is not None and generation.deadline_at <= now and generation.cancel_sent_at is None:
        with suppress(FalError):
            _cancel(generation, submission)
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
    """Look for the job in fal's record. It stays unknown until that, a callback or the deadline decides.

    Raises:
        _Undecided: The record does not tell.
    """
    submission = generation.submissions.filter(state__in=UNKNOWN).order_by("number").last()
    if submission is None:
        lifecycle.failed(generation, failure(FailureCode.SUBMISSION_UNKNOWN), actor="limn")
        return UNKNOWN_RETRY_SECONDS
    model = MODELS.get(generation.model)
    # A process that does not know the model (removed, or not deployed here yet) does not know what was sent.
    knows_arguments = model is not None or submission.seed is None
    arguments = model.with_seed(generation.arguments, submission.seed) if model else generation.arguments
    callback_url = clients.callback_url(submission)
    sent_at = submission.sent_at or submission.created_at
    since, until = sent_at - CLOCK_TOLERANCE, sent_at + RECORD_GRACE
    alike = [
        recorded
        for recorded in clients.fal().recorded_requests(generation.endpoint, since=since, until=until)
        if (knows_arguments and recorded.arguments == arguments) or callback_url in recorded.texts
    ]
    # Read after the record: a request that another submission has got meanwhile is not taken for a stranger's.
    ids = [recorded.request_id for recorded in alike]
    claimed = set(Submission.objects.filter(request_id__in=ids).values_list("request_id", flat=True))
    unclaimed = [recorded for recorded in alike if recorded.request_id not in claimed]
    # The arguments alone prove nothing: another program on the same account of fal may have ordered the same.
    own = [each for each in unclaimed if submission.seed is not None or callback_url in each.texts]
    for recorded in own:
        # A second one is recorded as surplus.
        lifecycle.submitted(submission, clients.fal().receipt_for(generation.endpoint, recorded.request_id))
    if own:
        return POLL_SECONDS_MIN
    grace = max(RECORD_GRACE, 2 * timedelta(seconds=scaled(model.typical_seconds if model else 0)))
    is_never_repeated = submission.state == Submission.State.DISPUTED or not knows_arguments
    if unclaimed or is_never_repeated or submission.number >= SUBMISSIONS_MAX or _age(submission) <= grace:
        if unclaimed:
            lifecycle.ambiguous(submission, request_ids=[each.request_id for each in unclaimed])
        raise _Undecided(f"fal's record has {len(unclaimed)} jobs that may be this one")
    lifecycle.not_on_record(submission)
    return UNKNOWN_RETRY_SECONDS


def _age(submission: Submission) -> timedelta:
    return clock.now() - (submission.sent_at or submission.created_at)


# --- Accepted submissions -------------------------------------------------------------------------------------------


def _ask(generation: Generation, submission: Submission) -> float:
    """Ask for the status, and for the result once there is one. Returns the seconds until it is asked again."""
    try:
        status = clients.fal().status(clients.receipt_of(submission).status_url)
        if isinstance(status, Finished):
            _report_result(submission, status)
            return _poll_interval(generation)
    except Gone as error:
        return _handle_gone(generation, submission, error)
    match status:
        case Queued():
            lifecycle.progressed(generation, running=False, position=status.position)
        case Running():
            lifecycle.progressed(generation, running=True, line=status.log)
    if generation.cancel_asked_at is not None or generation.deadline_at <= clock.now():
        return _cancel(generation, submission)
    return _poll_interval(generation)


def _cancel(generation: Generation, submission: Submission) -> float:
    """Ask fal to cancel a job, at the deadline or for the customer. fal's verdict counts, but not for ever."""
    if generation.cancel_asked_at is None:
        lifecycle.cancel_asked(generation, by=CancelledBy.DEADLINE, actor="limn")
    if generation.cancel_sent_at is None:
        verdict = clients.fal().cancel(clients.receipt_of(submission).cancel_url)
        lifecycle.cancel_sent(generation)
        if verdict == "removed":
            # It was still in fal's queue. A job that runs is ended by its own verdict.
            lifecycle.cancelled(generation)
        return POLL_SECONDS_MIN
    if max(generation.cancel_sent_at, generation.deadline_at) + VERDICT_PATIENCE <= clock.now():
        lifecycle.failed(generation, failure(FailureCode.DEADLINE, detail="fal gave no verdict"), actor="limn")
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
    """Handle a job that fal does not know (404): it expired, or fal's status lags behind its receipt.

    Before it is taken for expired, fal is asked for longer than it may lag, and so is its record, which keeps answers
    for weeks.

    Raises:
        Gone: It may come back.
        Unavailable: The record cannot be read.
    """
    now, sent_at = clock.now(), submission.sent_at or submission.created_at
    if generation.unanswered_for(now) < GONE_PATIENCE:
        raise error
    found = clients.fal().recorded_requests(
        generation.endpoint, since=sent_at - CLOCK_TOLERANCE, until=now, request_id=submission.request_id
    )
    # A server that does not know the filter would return the requests of others.
    recorded = [each for each in found if each.request_id == submission.request_id]
    if any(each.answer is not None and lifecycle.answered(submission, each.answer) for each in recorded):
        logger.warning("an expired answer was found in fal's record", extra={"generation": str(generation.pk)})
        return POLL_SECONDS_MIN
    if any(not each.has_ended for each in recorded):
        raise error
    logger.error("fal no longer knows an accepted job", extra={"generation": str(generation.pk)})
    lifecycle.failed(generation, failure(FailureCode.RESULT_EXPIRED, detail=str(error)), actor="fal")
    return POLL_SECONDS_MAX


def _poll_interval(generation: Generation) -> float:
    """Return a quarter of the generation's age in seconds, within the limits: a young generation is polled often."""
    age = (clock.now() - (generation.submitted_at or generation.created_at)).total_seconds()
    return min(max(age / 4, POLL_SECONDS_MIN), POLL_SECONDS_MAX)
