"""Stopping what is no longer wanted. What fal has is fal's to decide; what it has not is released at once."""

from __future__ import annotations

from typing import Literal

from django.db import transaction
from django.db.models.functions import Now

from generations.fal import Reason
from generations.lifecycle.ending import failed, provider_failed
from generations.lifecycle.failures import failure, failure_for
from generations.lifecycle.transitions import lock, record_event, update
from generations.models import CancelledBy, FailureCode, Generation, Phase

CancelAnswer = Literal["released", "asked", "finished"]


@transaction.atomic
def cancel_asked(generation: Generation, *, by: CancelledBy, actor: str) -> CancelAnswer:
    """Somebody wants it stopped. What fal has is fal's to decide; what it has not is released at once."""
    generation = lock(generation.pk)
    if generation.is_done:
        return "released" if generation.failure_code == FailureCode.CANCELLED else "finished"
    if generation.phase == Phase.STORING:
        return "finished"
    if generation.phase == Phase.QUEUED:
        failed(generation, failure(FailureCode.CANCELLED), actor=actor)
        return "released"
    if generation.cancel_asked_at is None:
        changes = {"cancel_asked_at": Now(), "cancel_asked_by": by, "next_attempt_at": Now()}
        update(generation, **changes)
        record_event(generation, "cancel_asked", actor=actor)
    return "asked"


@transaction.atomic
def cancel_sent(generation: Generation) -> bool:
    """fal knows that we no longer want it."""
    return update(lock(generation.pk), cancel_sent_at=Now())


@transaction.atomic
def cancelled(generation: Generation) -> bool:
    """fal took it off its queue: it will never run."""
    generation = lock(generation.pk)
    return provider_failed(generation, failure_for(generation, Reason(code="cancelled", retryable=True)))
