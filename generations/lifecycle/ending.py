"""The end of a generation: completed and captured, or failed and released, in one transaction and once.

The other modules of the lifecycle call it, and workers call `failed` and `give_up`.
"""

from __future__ import annotations

from django.db import transaction

from credits import ledger
from generations.jobs import failpoints
from generations.lifecycle import charging_rules
from generations.lifecycle.failures import Failure, failure
from generations.lifecycle.transitions import finish, lock, record_event
from generations.models import FailureCode, Generation, Output, Phase, Status, Submission

# fal works on such a submission, or may. Its verdict or the deadline of its generation is needed.
UNRESOLVED = (Submission.State.SENT, Submission.State.UNKNOWN, Submission.State.ACCEPTED)


def completed(generation: Generation, *, promised: int, delivered: int, flagged: int) -> bool:
    """Complete a generation whose outputs have ended: capture the price of what was delivered, release the rest.

    Args:
        promised: how many paid files the order was for.
        delivered: how many of them are stored.
        flagged: how many of the delivered ones the provider's safety checker blackened; these are free.

    The caller holds the generation's lock. False if the generation has ended already.
    """
    counts = {"promised": promised, "delivered": delivered, "flagged": flagged}
    captured = charging_rules.price_of(generation.credits, **counts)
    moved = finish(
        generation,
        Status.COMPLETED,
        captured=captured,
        released=generation.credits - captured,
        rule=charging_rules.for_delivery(**counts),
        message="",
    )
    if moved:
        # The row and the ledger are committed together. Dying here rolls both back.
        failpoints.reach("completed")
        ledger.capture(generation.reference, captured)
        record_event(
            generation,
            "completed",
            actor="limn",
            note="" if delivered == promised else f"{delivered} of {promised} files were delivered",
            held_change=-generation.credits,
            balance_change=-captured,
        )
    return moved


@transaction.atomic
def failed(generation: Generation, why: Failure, *, actor: str) -> bool:
    """End the generation without a result, and release its whole hold. False if it has ended already."""
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
        # Without a next attempt no copier takes these up again.
        generation.outputs.filter(state=Output.State.PENDING).update(state=Output.State.LOST, next_attempt_at=None)
        record_event(
            generation, "failed", actor=actor, note=why.message, staff_note=why.detail, held_change=-generation.credits
        )
    return moved


@transaction.atomic
def provider_failed(generation: Generation, why: Failure) -> bool:
    """Record that the provider will deliver no result.

    The provider's first verdict counts: files that it has named before are copied all the same. False if the
    generation has ended, or is copying files.
    """
    generation = lock(generation.pk)
    return generation.phase != Phase.STORING and failed(generation, why, actor="fal")


@transaction.atomic
def give_up(generation: Generation, *, detail: str) -> bool:
    """Fail a generation that CRASHES_MAX workers in a row failed to process, unless fal may be working on it.

    In that case staff are told once, by an event, and the callback or the deadline ends the generation: releasing the
    hold now would make the operator pay for a result that is delivered to no one. False if it did not fail.
    """
    generation = lock(generation.pk)
    if not generation.submissions.filter(state__in=UNRESOLVED).exists():
        return failed(generation, failure(FailureCode.PROVIDER_ERROR, detail=detail), actor="limn")
    if not generation.is_done and not generation.events.filter(fact="stuck").exists():
        record_event(generation, "stuck", actor="limn", staff_note=detail)
    return False
