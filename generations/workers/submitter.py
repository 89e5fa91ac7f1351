"""Hands planned attempts to fal. One row, one POST; what becomes of it is the lifecycle's to hear."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from database.time_scale import scaled
from generations import lifecycle
from generations.catalogue import find
from generations.fal import AnswerLost, FalError, Forbidden, Rejected, Unavailable
from generations.fal.client import SUBMIT_SECONDS_MAX
from generations.jobs import backoff, failpoints, leases
from generations.jobs.parallel import run
from generations.lifecycle import Failure, failure
from generations.models import FailureCode, Generation, Phase, Submission
from generations.ordering import input_files
from generations.provider import circuit_breaker, clients, dispatch_queue

LEASE_SECONDS = scaled(20)
# Who begins to send later than this might still be at it when the reconciler takes him for dead.
OVERSLEPT = timedelta(seconds=lifecycle.SUBMITTING_SECONDS_MAX - SUBMIT_SECONDS_MAX)
FIRST_RETRY_SECONDS = scaled(2)
LONGEST_RETRY_SECONDS = scaled(60)
# Our key or our money is the matter: a person has to act, and asking more often does not help.
FORBIDDEN_RETRY_SECONDS = scaled(60)
# Whose order took longer to hand over has waited for everybody: for a while, orders are left to the workers.
SLOW_SECONDS = 2.0
SLOW_FOR_SECONDS = 30.0


def run_once(*, limit: int) -> int:
    """Submit what is due, at most `limit` and what fal may be sent now; one probe at a time while it refuses us.

    Customers take turns. How many it took on.
    """
    room = min(limit, dispatch_queue.available())
    if circuit_breaker.is_open():
        _give_up_overdue(limit)
        room = 1 if room and circuit_breaker.may_probe() else 0
    due = dispatch_queue.claim_round_robin(Generation.objects.to_submit(), limit=room, seconds=LEASE_SECONDS)
    return run(due, _submit_and_release, give_up=_give_up)


def _give_up_overdue(limit: int) -> None:
    for generation in Generation.objects.filter(phase=Phase.QUEUED, deadline_at__lte=Now())[:limit]:
        lifecycle.failed(generation, failure(FailureCode.PROVIDER_UNFUNDED), actor="limn")


def _submit_and_release(generation: Generation) -> None:
    submit_now(generation, is_its_turn=True)
    leases.release(generation)


def _give_up(generation: Generation) -> None:
    lifecycle.give_up(generation, detail=f"{generation.crashes} workers in a row died or stumbled over handing it in")
    leases.release(generation)


def submit_now(generation: Generation, *, is_its_turn: bool = False) -> None:
    """Send the planned attempt, unless somebody else does. Bounded by the client's 8 s; never raises for fal's sake.

    What fal may not be sent now stays queued, and so does what would pass by others who wait for their turn; and, of
    what a caller waits for, everything while fal is slow. A process without our key (a shell, say) leaves it all to the
    workers: that it has none says nothing about fal.
    """
    if not settings.FAL_KEY:
        return
    if not is_its_turn and (slowness.lasts() or not dispatch_queue.has_room_for(generation)):
        return
    submission = _begin(generation)
    if submission is not None:
        with slowness.measured():
            _send(generation, submission)


@dataclass
class _Slowness:
    """Whether fal was slow a moment ago, as far as this process knows."""

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


class _NoRoom(Exception):
    """fal has been sent as much as it may be."""


def _begin(generation: Generation) -> Submission | None:
    """Note the attempt and take its place in fal's budget: both, or neither."""
    try:
        with transaction.atomic():
            submission = lifecycle.submitting(generation)
            if submission is not None and not dispatch_queue.acquire(generation):
                raise _NoRoom
            return submission
    except _NoRoom:
        # What the transaction had written into the object is not so.
        generation.refresh_from_db(fields=["status", "phase", "version", "next_attempt_at"])
        return None


def _send(generation: Generation, submission: Submission) -> None:
    failpoints.reach("noted")
    if _overslept(submission):
        # Taken for dead by now, and perhaps another attempt is on its way: what was not sent stays unsent.
        return
    try:
        ticket = clients.fal().submit(
            generation.endpoint,
            input_files.arguments_for_fal(generation),
            webhook_url=clients.callback_url(submission),
            start_timeout_seconds=find(generation.model).start_timeout_seconds,
        )
    except AnswerLost as error:
        lifecycle.submission_lost(submission, detail=str(error))
    except Rejected as error:
        circuit_breaker.reset()
        lifecycle.rejected(submission, lifecycle.failure_for(generation, error.reason))
    except FalError as error:
        _retry(generation, submission, error)
    else:
        failpoints.reach("posted")
        circuit_breaker.reset()
        lifecycle.submitted(submission, ticket)


def _overslept(submission: Submission) -> bool:
    return submission.sent_at is None or timezone.now() - submission.sent_at > OVERSLEPT


def _retry(generation: Generation, submission: Submission, error: FalError) -> None:
    forbidden = isinstance(error, Forbidden)
    if forbidden:
        circuit_breaker.trip(str(error))
    if generation.deadline_at <= timezone.now():
        lifecycle.rejected(submission, _out_of_patience(forbidden, error))
        return
    asked = error.retry_after_seconds if isinstance(error, Unavailable) else FORBIDDEN_RETRY_SECONDS
    wait = backoff.seconds(submission.number, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS, asked=asked)
    lifecycle.submission_refused(submission, detail=str(error), retry_in_seconds=wait)


def _out_of_patience(forbidden: bool, error: FalError) -> Failure:
    code = FailureCode.PROVIDER_UNFUNDED if forbidden else FailureCode.PROVIDER_ERROR
    return failure(code, detail=str(error))
