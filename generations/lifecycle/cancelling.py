"""Cancellation. If fal may have the job, fal's verdict decides. Otherwise the generation ends at once, uncharged."""

from __future__ import annotations

from typing import Literal

from database.transactions import repeated
from generations.fal import Reason
from generations.lifecycle.ending import fail, provider_failed
from generations.lifecycle.failures import failure, failure_for
from generations.lifecycle.transitions import Fact, lock, update
from generations.models import CancelledBy, FailureCode, Generation, Phase

CancelAnswer = Literal["released", "asked", "finished"]
"""released: it is cancelled, and its credits are available again. asked: fal is asked, and its verdict decides.
finished: too late."""


@repeated
def cancel_asked(generation: Generation, *, by: CancelledBy, actor: str) -> CancelAnswer:
    """Cancel the generation, for a customer, staff or the deadline.

    Returns what follows. Asking again changes nothing, and returns what follows by then.
    """
    generation = lock(generation.pk)
    if generation.is_done:
        return "released" if generation.failure_code == FailureCode.CANCELLED else "finished"
    if generation.phase == Phase.STORING:
        # It is generated and will be paid; only the copy is missing.
        return "finished"
    if generation.phase == Phase.QUEUED:
        fail(generation, failure(FailureCode.CANCELLED), actor=actor)
        return "released"
    if generation.cancel_asked_at is None:
        # Due now, so the reconciler passes the cancellation on to fal without delay.
        now = generation.now
        fact = Fact(name="cancel_asked", actor=actor)
        update(generation, fact, cancel_asked_at=now, cancel_asked_by=by, next_attempt_at=now)
    return "asked"


@repeated
def cancel_sent(generation: Generation) -> bool:
    """Record that fal has received the cancellation request. False if the generation has ended."""
    generation = lock(generation.pk)
    return update(generation, cancel_sent_at=generation.now)


@repeated
def cancelled(generation: Generation) -> bool:
    """Record that fal removed the job from its queue, so it will never run. False if the generation has ended."""
    generation = lock(generation.pk)
    return provider_failed(generation, failure_for(generation, Reason(code="cancelled", retryable=True)))
