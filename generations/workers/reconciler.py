"""Asks fal what became of what it has. A callback that is lost, late or never sent costs seconds, not a picture."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from database.time_scale import scaled
from generations import lifecycle
from generations.catalogue import MODELS
from generations.fal import Completed, Failed, FalError, Finished, Gone, Queued, Reason, Running, Unavailable
from generations.jobs import failpoints, leases
from generations.jobs.parallel import run
from generations.lifecycle import failure
from generations.models import CancelledBy, FailureCode, Generation, Phase, Submission
from generations.provider import billed_units, clients
from generations.workers import callback_inbox

logger = logging.getLogger(__name__)

LEASE_SECONDS = scaled(90)
# fal forgets a result of 10 KB six minutes after it is done: so nobody is asked about less often than this.
POLL_SECONDS_MAX = scaled(30)
POLL_SECONDS_MIN = scaled(2)
UNKNOWN_RETRY_SECONDS = scaled(15)
# Rare enough that what kills its worker does not keep the others from their work.
STUCK_RETRY_SECONDS = scaled(300)
# fal's record may lag behind its queue. What is not there after so long was not taken; but nobody has promised that the
# record shows what is still being made, so a slow model is given the time that it usually takes, twice.
RECORD_GRACE = timedelta(seconds=scaled(120))
CLOCK_TOLERANCE = timedelta(seconds=scaled(60))
# A lost attempt is made again twice; then the fault is not chance.
ATTEMPTS_MAX = 3
# When fal's record tells nothing for so long (it is away, or twins make it ambiguous), the customer gets his
# credits back. Should the job turn up after all, the operator pays for it.
UNKNOWN_PATIENCE = timedelta(seconds=scaled(900))
# fal's own record may lag behind its receipt for a moment.
GONE_GRACE = timedelta(seconds=scaled(120))
# After the deadline fal was asked to cancel; if no verdict can be had for so long, there is none.
VERDICT_PATIENCE = timedelta(hours=1)


def run_once(*, limit: int) -> int:
    """Look after what is due, at most `limit`. How many it looked after."""
    due = leases.claim(Generation.objects.to_reconcile(), limit=limit, seconds=LEASE_SECONDS)
    return run(due, _look_after, give_up=_give_up)


def reconcile_one(generation_id: UUID) -> int:
    """Look after this one now, if it is due and nobody else does."""
    due = Generation.objects.to_reconcile().filter(pk=generation_id)
    return run(leases.claim(due, limit=1, seconds=LEASE_SECONDS), _look_after, give_up=_give_up)


def _look_after(generation: Generation) -> None:
    try:
        wait = _ask(generation)
    except FalError as error:
        extra = {"generation": str(generation.pk), "error": f"{type(error).__name__}: {error}"}
        logger.warning("fal could not be asked", extra=extra)
        asked = error.retry_after_seconds if isinstance(error, Unavailable) else None
        wait = max(_interval(generation), asked or 0)
    leases.release(generation, retry_in_seconds=wait)


def _give_up(generation: Generation) -> None:
    """Worker after worker died of looking after it. Its callback may still end it, and its deadlines do; once in a
    while it gets another try, since what was wrong may have been mended."""
    detail = f"{generation.crashes} workers in a row died or stumbled over asking fal about it"
    if not lifecycle.give_up(generation, detail=detail):
        _hold_to_its_deadlines(generation)
        leases.release(generation, retry_in_seconds=STUCK_RETRY_SECONDS, crashes=leases.CRASHES_MAX - 1)


def _hold_to_its_deadlines(generation: Generation) -> None:
    submission = _accepted(generation)
    if submission is not None:
        _enforce_deadline(generation, submission)
        with suppress(FalError):
            _pass_on_cancellation(generation, submission)
    elif generation.phase == Phase.SUBMITTING:
        _give_up_on_sender(generation)
    elif generation.deadline_at <= timezone.now():
        lifecycle.failed(generation, failure(FailureCode.SUBMISSION_UNKNOWN), actor="limn")


def _ask(generation: Generation) -> float:
    """Do what its phase calls for. In how many seconds to look again, should it not be done by then."""
    if callback_inbox.catch_up(generation):
        # What was kept has told us; fal is asked at the next turn, if it still needs asking.
        return POLL_SECONDS_MIN
    if generation.phase == Phase.SUBMITTING:
        return _give_up_on_sender(generation)
    submission = _accepted(generation)
    if submission is None:
        return _resolve(generation)
    _enforce_deadline(generation, submission)
    _pass_on_cancellation(generation, submission)
    return _poll(generation, submission)


def _accepted(generation: Generation) -> Submission | None:
    return generation.submissions.filter(state=Submission.State.ACCEPTED).order_by("-number").first()


def _give_up_on_sender(generation: Generation) -> float:
    """Whoever has been sending for longer than a POST can take died or sleeps. Whether it went out is unknown."""
    for submission in generation.submissions.filter(state=Submission.State.SENT):
        # A cancellation or a nudge brings us here early; the sender still has his time.
        if (left := lifecycle.SUBMITTING_SECONDS_MAX - _age(submission).total_seconds()) > 0:
            return left
        lifecycle.submission_lost(submission, detail="the sender went silent")
    return UNKNOWN_RETRY_SECONDS


def _resolve(generation: Generation) -> float:
    """Nobody knows whether fal has it. Its callback may still tell; fal's own record is asked; then the deadline."""
    submission = generation.submissions.filter(state=Submission.State.UNKNOWN).order_by("number").last()
    if submission is None or _age(submission) > UNKNOWN_PATIENCE or generation.deadline_at <= timezone.now():
        lifecycle.failed(generation, failure(FailureCode.SUBMISSION_UNKNOWN), actor="limn")
        return UNKNOWN_RETRY_SECONDS
    recorded = _on_record(generation, submission)
    # In this order: a twin whose POST the record shows was about to be sent before, and knows its request afterwards.
    has_twins = _has_twins(generation, submission)
    candidates = _nobodys(recorded)
    if len(candidates) == 1 and not has_twins:
        lifecycle.submitted(submission, clients.fal().receipt_for(generation.endpoint, candidates[0]))
    elif not candidates and _age(submission) > _grace(generation) and submission.number < ATTEMPTS_MAX:
        lifecycle.not_on_record(submission)
    return UNKNOWN_RETRY_SECONDS


def _grace(generation: Generation) -> timedelta:
    model = MODELS.get(generation.model)
    return max(RECORD_GRACE, 2 * timedelta(seconds=scaled(model.typical_seconds if model else 0)))


def _on_record(generation: Generation, submission: Submission) -> list[str]:
    """fal's requests with these very arguments, around that time."""
    sent_at = submission.sent_at or submission.created_at
    since, until = sent_at - CLOCK_TOLERANCE, sent_at + RECORD_GRACE
    return clients.fal().find_requests(generation.endpoint, generation.arguments, since=since, until=until)


def _nobodys(request_ids: list[str]) -> list[str]:
    """Those that belong to no attempt of ours."""
    ours = set(Submission.objects.filter(request_id__in=request_ids).values_list("request_id", flat=True))
    return [request_id for request_id in request_ids if request_id not in ours]


def _has_twins(generation: Generation, submission: Submission) -> bool:
    """Whether another attempt, of whomever, wants the very same, and does not know its request either: it was lost, or
    its answer is on the way. Then nobody can tell whose the request is."""
    open_ended = [Submission.State.SENT, Submission.State.UNKNOWN]
    others = Submission.objects.filter(state__in=open_ended).exclude(pk=submission.pk)
    return others.filter(generation__endpoint=generation.endpoint, generation__arguments=generation.arguments).exists()


def _age(submission: Submission) -> timedelta:
    return timezone.now() - (submission.sent_at or submission.created_at)


def _enforce_deadline(generation: Generation, submission: Submission) -> None:
    now = timezone.now()
    if generation.deadline_at + VERDICT_PATIENCE <= now:
        lifecycle.failed(generation, failure(FailureCode.DEADLINE, detail="no verdict to be had"), actor="limn")
    elif generation.deadline_at <= now and generation.cancel_asked_at is None:
        lifecycle.cancel_asked(generation, by=CancelledBy.DEADLINE, actor="limn")
        generation.refresh_from_db()


def _pass_on_cancellation(generation: Generation, submission: Submission) -> None:
    if generation.cancel_asked_at is None or generation.cancel_sent_at is not None:
        return
    verdict = clients.fal().cancel(submission.cancel_url)
    lifecycle.cancel_sent(generation)
    if verdict == "removed":
        lifecycle.cancelled(generation)


def _poll(generation: Generation, submission: Submission) -> float:
    try:
        said = clients.fal().status(submission.status_url)
        match said:
            case Queued():
                lifecycle.progressed(generation, running=False, position=said.position)
            case Running():
                lifecycle.progressed(generation, running=True, line=said.log)
            case Finished():
                _settle(submission, said)
    except Gone as error:
        return _mourn(generation, submission, error)
    return _interval(generation)


def _settle(submission: Submission, settled: Finished) -> None:
    if settled.reason is not None:
        verdict: Completed | Failed = _explained(submission, settled.reason)
    else:
        verdict = clients.fal().result(submission.response_url)
    if verdict.billable_units is not None:
        billed_units.record_units(submission, verdict.billable_units)
    failpoints.reach("asked")
    if isinstance(verdict, Failed):
        lifecycle.answered_error(submission, verdict.reason)
    else:
        lifecycle.answered(submission, verdict.answer)


def _explained(submission: Submission, reason: Reason) -> Failed:
    """The failure, with what the result says of it where the result can be had: which input, for instance."""
    try:
        verdict = clients.fal().result(submission.response_url)
    except FalError:
        return Failed(reason=reason)
    return verdict if isinstance(verdict, Failed) else Failed(reason=reason)


def _mourn(generation: Generation, submission: Submission, error: Gone) -> float:
    since = submission.answered_at or submission.created_at
    if timezone.now() - since > GONE_GRACE:
        logger.error("fal no longer knows a request of ours", extra={"generation": str(generation.pk)})
        lifecycle.failed(generation, failure(FailureCode.RESULT_EXPIRED, detail=str(error)), actor="fal")
    return POLL_SECONDS_MAX


def _interval(generation: Generation) -> float:
    """Often while it is young and somebody watches; a quarter of its age later."""
    age = (timezone.now() - (generation.submitted_at or generation.created_at)).total_seconds()
    return min(max(age / 4, POLL_SECONDS_MIN), POLL_SECONDS_MAX)
