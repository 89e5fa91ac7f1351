"""Sends planned submissions to fal: one row, one POST. What becomes of it is reported to the lifecycle.

`services` calls `send_new` for a new order; the loop of `manage.py work` calls `run_once` for everything that waits.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from database import clock, timeouts
from database.statements import execute_together
from database.time_scale import scaled
from database.transactions import UNAVAILABLE, foreign_keys_checked_at_once
from generations import lifecycle
from generations.catalogue import find
from generations.fal import AnswerLost, FalError, Forbidden, Rejected, Unavailable, Unreachable
from generations.fal.client import SUBMIT_SECONDS_MAX
from generations.jobs import backoff, failpoints, leases, parallel
from generations.lifecycle import failure
from generations.models import FailureCode, Generation, Submission
from generations.ordering import input_files
from generations.provider import circuit_breaker, clients, dispatch_queue

logger = logging.getLogger(__name__)

LEASE_SECONDS = scaled(20)
# A sender that begins later than this could still be sending when the reconciler takes it for dead.
START_SECONDS_MAX = timedelta(seconds=lifecycle.SUBMITTING_SECONDS_MAX - SUBMIT_SECONDS_MAX)
FIRST_RETRY_SECONDS = scaled(2)
LONGEST_RETRY_SECONDS = scaled(60)
# fal refuses Limn's key or account. An operator has to act, and asking more often does not help.
FORBIDDEN_RETRY_SECONDS = scaled(60)
# After its deadline, a generation that fal is too busy to accept fails only if fal has refused it for this long. It may
# be late because Limn was down.
REFUSED_SECONDS_MAX = timedelta(seconds=scaled(900))
# After a POST that took this long, new orders are left to the workers for a while, so that requests do not wait.
SLOW_SECONDS = 2.0
SLOW_FOR_SECONDS = 30.0


def due() -> QuerySet[Generation]:
    """Return the rows that are due and that no worker holds."""
    return leases.unleased(Generation.objects.to_submit())


def run_once(*, limit: int) -> int:
    """Submit up to `limit` due generations, as many as the rate limit towards fal allows. Returns how many.

    Accounts take turns. While the circuit breaker is open, one generation is sent as a probe, and those past their
    deadline fail.
    """

    def submit(generation: Generation) -> None:
        try:
            submit_now(generation)
        except UNAVAILABLE:
            raise
        except Exception as error:
            _fail_or_wait(generation, error)
        else:
            leases.release(generation)

    def give_up(generation: Generation) -> None:
        lifecycle.give_up(generation, detail=f"{generation.crashes} workers in a row died while they submitted it")
        leases.release(generation)

    room = min(limit, dispatch_queue.available())
    if circuit_breaker.is_open():
        for generation in circuit_breaker.refused_since_deadline()[:limit]:
            lifecycle.failed(generation, failure(FailureCode.PROVIDER_UNFUNDED), actor="limn")
        room = 1 if room and circuit_breaker.take_probe() else 0
    due = dispatch_queue.claim_round_robin(Generation.objects.to_submit(), limit=room, seconds=LEASE_SECONDS)
    return parallel.run(due, submit, give_up=give_up, lease_seconds=LEASE_SECONDS)


def sends_new_orders() -> bool:
    """Return whether a new order is sent by the process that takes it.

    Not while fal is slow, because a customer waits for the response. A process without FAL_KEY, such as a shell, leaves
    everything to the workers.
    """
    return bool(settings.FAL_KEY) and not slowness.lasts()


def send_new(submission: Submission) -> None:
    """Send the submission of a new order, which was recorded as sent. No error of fal is raised."""
    # The request may have used up its time before. fal's answer is recorded all the same.
    with timeouts.limited(separately=True):
        # `arguments` have the URLs of its files since the order was written.
        send(submission.generation, submission, has_own_files=False, is_breaker_closed=True)


def submit_now(generation: Generation) -> None:
    """Send the planned submission, unless another process does. Takes at most SUBMIT_SECONDS_MAX.

    What cannot be sent now stays queued, and no error of fal is raised.
    """
    submission = _begin(generation)
    if submission is not None:
        send(generation, submission)


def _fail_or_wait(generation: Generation, error: Exception) -> None:
    """Release a generation that an error of Limn keeps from being sent. Long after its deadline, fail it."""
    logger.error("a generation cannot be sent", extra={"generation": str(generation.pk)}, exc_info=error)
    now = clock.now()
    if generation.record_unanswered(now) >= REFUSED_SECONDS_MAX and generation.deadline_at <= now:
        lifecycle.give_up(generation, detail=f"{type(error).__name__}: {error}")
    wait = backoff.seconds(generation.attempts, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
    leases.release(generation, retry_in_seconds=wait, changes=generation.unanswered_columns(wait))


@dataclass
class _Slowness:
    """Whether a recent POST of this process to fal was slow."""

    _noticed_at: float = -math.inf

    def forget(self) -> None:
        self._noticed_at = -math.inf

    def lasts(self) -> bool:
        return monotonic() - self._noticed_at < SLOW_FOR_SECONDS

    @contextmanager
    def measured(self) -> Iterator[None]:
        started = monotonic()
        try:
            yield
        finally:
            if monotonic() - started > SLOW_SECONDS:
                self._noticed_at = monotonic()


slowness = _Slowness()


def _begin(generation: Generation) -> Submission | None:
    """Record the submission and take its place in the rate limit: both are committed, or neither."""
    try:
        with foreign_keys_checked_at_once(), transaction.atomic():
            submission = lifecycle.submitting(generation)
            if submission is not None:
                execute_together(dispatch_queue.served(generation.account_id))
                dispatch_queue.acquire()
            return submission
    except dispatch_queue.RateLimitReached:
        return None


def send(
    generation: Generation, submission: Submission, *, has_own_files: bool = True, is_breaker_closed: bool = False
) -> None:
    """Send a submission that was recorded as sent, unless that was too long ago, and report what fal answered.

    Args:
        has_own_files: Whether it may use uploads or outputs. False saves a query.
        is_breaker_closed: The circuit breaker was closed when it was recorded, so an answer need not close it.
    """
    failpoints.reach("noted")
    if submission.sent_at is None or clock.now() - submission.sent_at > START_SECONDS_MAX:
        # This process was suspended. By now the reconciler counts the submission as lost, and may have planned another.
        lifecycle.not_sent(submission, detail="the sender was suspended")
        return
    try:
        model = find(generation.model)
        arguments = input_files.arguments_for_fal(generation) if has_own_files else generation.arguments
    except Exception as error:
        # Otherwise the reconciler would wait for fal's record of a request that was never made.
        lifecycle.not_sent(submission, detail=f"{type(error).__name__}: {error}")
        raise
    try:
        with slowness.measured():
            receipt = clients.fal().submit(
                generation.endpoint,
                model.with_seed(arguments, submission.seed),
                webhook_url=clients.callback_url(submission),
                start_timeout_seconds=model.start_timeout_seconds,
            )
    except AnswerLost as error:
        lifecycle.submission_lost(submission, detail=str(error))
    except Rejected as error:
        lifecycle.rejected(submission, lifecycle.failure_for(generation, error.reason))
        # fal read the request, so it does not refuse the account.
        circuit_breaker.reset()
    except FalError as error:
        _retry_later(generation, submission, error)
    else:
        failpoints.reach("posted")
        # First what fal said: nothing else may keep it from being recorded.
        lifecycle.submitted(submission, receipt)
        if not is_breaker_closed:
            circuit_breaker.reset()


def _retry_later(generation: Generation, submission: Submission, error: FalError) -> None:
    """Plan another submission because fal did not accept this one, or fail the generation at its deadline."""
    forbidden = isinstance(error, Forbidden)
    now = clock.now()
    has_waited = forbidden or generation.unanswered_for(now) >= REFUSED_SECONDS_MAX
    refusal = FailureCode.PROVIDER_UNFUNDED if forbidden else FailureCode.PROVIDER_ERROR
    # Without a connection fal has refused nothing. The network or a setting of Limn may be the cause.
    actor, code = ("limn", FailureCode.INTERNAL_ERROR) if isinstance(error, Unreachable) else ("fal", refusal)
    if generation.deadline_at <= now and has_waited:
        lifecycle.rejected(submission, failure(code, detail=str(error)), actor=actor)
    else:
        asked = error.retry_after_seconds if isinstance(error, Unavailable) else FORBIDDEN_RETRY_SECONDS
        wait = backoff.seconds(submission.number, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS, asked=asked)
        lifecycle.submission_refused(submission, detail=str(error), retry_in_seconds=wait, actor=actor)
    if forbidden:
        circuit_breaker.trip(str(error))
