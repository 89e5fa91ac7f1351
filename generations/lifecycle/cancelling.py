"""Cancellation. If fal may have the job, fal's verdict decides. Otherwise the generation ends at once, uncharged."""

from __future__ import annotations

from typing import Literal

from database.transactions import repeated
from generations.fal import Reason
from generations.lifecycle.ending import fail, fail_all, provider_failed
from generations.lifecycle.failures import failure, failure_for
from generations.lifecycle.transitions import WITH_FAL, Fact, lock, lock_all_of, update, update_all
from generations.models import Batch, CancelledBy, FailureCode, Generation, Phase

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
def cancel_batch(batch: Batch, *, by: CancelledBy, actor: str) -> None:
    """Cancel the generations of a batch as `cancel_asked` does each, but in a fixed number of statements.

    A generation that another transaction has locked is left out; `cancel_asked` waits for it.
    """
    generations = lock_all_of(batch)
    queued = [generation for generation in generations if generation.phase == Phase.QUEUED]
    with_fal = [each for each in generations if each.phase in WITH_FAL and each.cancel_asked_at is None]
    if with_fal:
        now = with_fal[0].now
        facts = [Fact(name="cancel_asked", actor=actor)] * len(with_fal)
        update_all(with_fal, facts, cancel_asked_at=now, cancel_asked_by=by, next_attempt_at=now)
    if queued:
        # Last, because this locks the account.
        fail_all(queued, failure(FailureCode.CANCELLED), actor=actor)


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
