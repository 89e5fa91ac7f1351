"""The end: completed and captured, or failed and released. One transaction each, once."""

from __future__ import annotations

from django.db import transaction

from credits import ledger
from generations.jobs import failpoints
from generations.lifecycle import charging_rules
from generations.lifecycle.failures import Failure, failure
from generations.lifecycle.transitions import finish, lock, record_event
from generations.models import FailureCode, Generation, Output, Phase, Status, Submission

# fal may be at work on it, or has been: these must hear its verdict, or run into their deadline.
UNRESOLVED = (Submission.State.SENT, Submission.State.UNKNOWN, Submission.State.ACCEPTED)


def completed(generation: Generation, *, promised: int, delivered: int, flagged: int) -> bool:
    """Every file that will come is stored; `flagged` of those delivered are black. The caller holds the lock."""
    counts = {"promised": promised, "delivered": delivered, "flagged": flagged}
    captured, rule = charging_rules.price_of(generation.credits, **counts), charging_rules.for_delivery(**counts)
    released = generation.credits - captured
    moved = finish(generation, Status.COMPLETED, captured=captured, released=released, rule=rule, message="")
    if moved:
        failpoints.reach("completed")
        ledger.capture(generation.reference, captured)
        remark = "" if delivered == promised else f"{delivered} of {promised} files were delivered"
        changes = {"held_change": -generation.credits, "balance_change": -captured}
        record_event(generation, "completed", actor="limn", note=remark, **changes)
    return moved


@transaction.atomic
def failed(generation: Generation, why: Failure, *, actor: str) -> bool:
    """It ends without a result. The whole hold is released."""
    generation = lock(generation.pk)
    moved = finish(
        generation,
        Status.FAILED,
        released=generation.credits,
        failure_code=why.code,
        failure_message=why.message,
        failure_errors=why.errors,
        retryable=why.retryable,
        rule=charging_rules.for_failure(generation, why.code),
        message="",
    )
    if moved:
        failpoints.reach("failed")
        ledger.release(generation.reference)
        generation.outputs.filter(state=Output.State.PENDING).update(state=Output.State.LOST, next_attempt_at=None)
        record_event(
            generation, "failed", actor=actor, note=why.message, staff_note=why.detail, held_change=-generation.credits
        )
    return moved


@transaction.atomic
def provider_failed(generation: Generation, why: Failure) -> bool:
    """fal says that nothing will come. Its first verdict counts: files that it has named are copied all the same."""
    generation = lock(generation.pk)
    return generation.phase != Phase.STORING and failed(generation, why, actor="fal")


@transaction.atomic
def give_up(generation: Generation, *, detail: str) -> bool:
    """Whoever works on it dies of it. It fails; but what fal may be working on is not ended behind fal's back: then
    staff are told, and its callback or its deadline ends it."""
    generation = lock(generation.pk)
    if not generation.submissions.filter(state__in=UNRESOLVED).exists():
        return failed(generation, failure(FailureCode.PROVIDER_ERROR, detail=detail), actor="limn")
    if not generation.is_done and not generation.events.filter(fact="stuck").exists():
        record_event(generation, "stuck", actor="limn", staff_note=detail)
    return False
