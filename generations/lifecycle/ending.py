"""The end of a generation: completed and captured, or failed and released, in one transaction and once.

The other modules of the lifecycle call it, and workers call `failed` and `give_up`.

The ledger comes first, because it locks the row of the account. An order locks that row before everything else of the
account, such as its spending of the day: so an order and the end of another job cannot wait for each other
(docs/decisions/0009-locks.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from credits import ledger
from database.transactions import repeated
from generations.jobs import failpoints
from generations.lifecycle import charging_rules, statements
from generations.lifecycle.failures import Failure, failure
from generations.lifecycle.transitions import Fact, can_finish, finish, finish_all, lock, record_event
from generations.models import FailureCode, Generation, Output, Phase, Status, Submission

# fal works on such a submission, or may. Its verdict or the deadline of its generation is needed.
UNRESOLVED = (
    Submission.State.SENT,
    Submission.State.UNKNOWN,
    Submission.State.DISPUTED,
    Submission.State.ACCEPTED,
)


def complete(generation: Generation, *, promised: int, delivered: int, flagged: int) -> bool:
    """Complete a generation whose outputs have ended: capture the price of what was delivered, release the rest.

    Args:
        generation: locked by the caller.
        promised: how many paid files the order was for.
        delivered: how many of them are stored.
        flagged: how many of the delivered ones the provider's safety checker blackened; these are free.

    False if the generation has ended already.
    """
    if not can_finish(generation, Status.COMPLETED):
        return False
    counts = {"promised": promised, "delivered": delivered, "flagged": flagged}
    captured = charging_rules.price_of(generation.credits, **counts)
    released = generation.credits - captured
    ledger.capture(generation.reference, captured)
    # The ledger and the row are committed together. Dying here rolls both back.
    failpoints.reach("completed")
    finish(
        generation,
        Status.COMPLETED,
        Fact(
            name="completed",
            actor="limn",
            note="" if delivered == promised else f"{delivered} of {promised} files were delivered",
            held_change=-generation.credits,
            balance_change=-captured,
        ),
        captured=captured,
        released=released,
        rule=charging_rules.for_delivery(**counts),
        together=statements.take_back_spending(generation, released),
    )
    return True


@repeated
def failed(generation: Generation, why: Failure, *, actor: str) -> bool:
    """End the generation without a result, and release its whole hold.

    False if it is no longer in the phase in which the caller has seen it: then the caller's judgement is about a state
    that has passed. A callback may have brought the result while fal was asked.
    """
    locked = lock(generation.pk)
    return locked.phase == generation.phase and fail(locked, why, actor=actor)


def fail(generation: Generation, why: Failure, *, actor: str) -> bool:
    """End a locked generation as `failed` does."""
    if not can_finish(generation, Status.FAILED):
        return False
    # Read before it changes: which rule applies depends on the phase that it was in.
    rule, had_outputs = charging_rules.for_failure(generation, why.code), generation.phase == Phase.STORING
    ledger.release(generation.reference)
    failpoints.reach("failed")
    finish(
        generation,
        Status.FAILED,
        Fact(name="failed", actor=actor, note=why.message, staff_note=why.detail, held_change=-generation.credits),
        released=generation.credits,
        failure_code=why.code,
        failure_message=why.message,
        failure_errors=why.errors,
        retryable=why.retryable,
        rule=rule,
        together=statements.take_back_spending(generation, generation.credits),
    )
    if had_outputs:
        # Without a next attempt no copier takes these up again.
        generation.outputs.filter(state=Output.State.PENDING).update(state=Output.State.LOST, next_attempt_at=None)
    return True


def fail_all(generations: Sequence[Generation], why: Failure, *, actor: str) -> None:
    """End locked generations without a result, as `fail` does for one. They are queued, and of one batch."""
    first = generations[0]
    ledger.release_all([generation.reference for generation in generations])
    finish_all(
        generations,
        Status.FAILED,
        [
            Fact(name="failed", actor=actor, note=why.message, staff_note=why.detail, held_change=-generation.credits)
            for generation in generations
        ],
        copied={"released": "credits"},
        # The batch was ordered in one moment and with one API key.
        together=statements.take_back_spending(first, sum(generation.credits for generation in generations)),
        failure_code=why.code,
        failure_message=why.message,
        failure_errors=why.errors,
        retryable=why.retryable,
        rule=charging_rules.for_failure(first, why.code),
    )


def provider_failed(generation: Generation, why: Failure) -> bool:
    """Record that the provider will deliver no result for a locked generation.

    The provider's first verdict counts: files that it has named before are copied all the same. False if the
    generation has ended, or is copying files.
    """
    return generation.phase != Phase.STORING and fail(generation, why, actor="fal")


@repeated
def give_up(generation: Generation, *, detail: str) -> bool:
    """Fail a generation that CRASHES_MAX workers in a row failed to process, unless fal may be working on it.

    In that case staff are told once, by an event, and the callback or the deadline ends the generation: releasing the
    hold now would make the operator pay for a result that is delivered to no one. False if it did not fail, also
    because it is no longer in the phase in which the caller has seen it.
    """
    seen, generation = generation.phase, lock(generation.pk)
    if generation.phase != seen:
        return False
    if not generation.submissions.filter(state__in=UNRESOLVED).exists():
        return fail(generation, failure(FailureCode.INTERNAL_ERROR, detail=detail), actor="limn")
    _report_stuck(generation, detail)
    return False


@repeated
def report_stuck(output: Output, *, detail: str) -> bool:
    """Tell staff once that a file could not be copied for long. False if they know, or the generation has ended."""
    return _report_stuck(lock(output.generation_id), detail)


def _report_stuck(generation: Generation, detail: str) -> bool:
    if generation.is_done or generation.events.filter(fact="stuck").exists():
        return False
    record_event(generation, Fact(name="stuck", actor="limn", staff_note=detail))
    return True
