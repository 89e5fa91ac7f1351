"""The inbox of fal's callbacks: each was kept as it came, and from here the lifecycle hears of it, once."""

from __future__ import annotations

import logging

from django.db import transaction

from generations import lifecycle
from generations.fal import Completed, Failed, wire
from generations.jobs import failpoints
from generations.models import Generation, ProviderCallback, Submission
from generations.provider import clients

logger = logging.getLogger(__name__)


@transaction.atomic
def tell(delivery: ProviderCallback) -> ProviderCallback.Outcome:
    """Tell the lifecycle what it says. One transaction: whoever dies in it has left everything to the next."""
    submission, callback = _attempt(delivery), wire.read_callback(bytes(delivery.body))
    ticket = clients.fal().receipt_for(submission.generation.endpoint, callback.request_id)
    lifecycle.submitted(submission, ticket)
    # From here on we hold the generation's lock; who had it before us may have told the very same.
    unheard = ProviderCallback.objects.filter(pk=delivery.pk, outcome=ProviderCallback.Outcome.RECEIVED)
    if not unheard.exists():
        return ProviderCallback.Outcome.IGNORED
    # A second job of one attempt has got a row of its own.
    failpoints.reach("adopted")
    outcome = _apply(Submission.objects.get(request_id=callback.request_id), callback)
    # What comes after an erasure is heard, and not kept.
    erased = Generation.objects.filter(pk=submission.generation_id, erased_at__isnull=False).exists()
    unheard.update(outcome=outcome, **({"body": b""} if erased else {}))
    return outcome


def catch_up(generation: Generation) -> bool:
    """Tell what was kept and could not be told: the row was locked, or the process died. Whether anything moved."""
    ours = ProviderCallback.objects.filter(submission__generation=generation, outcome=ProviderCallback.Outcome.RECEIVED)
    kept = ours.select_related("submission__generation").order_by("pk")
    return ProviderCallback.Outcome.APPLIED in [tell(delivery) for delivery in kept]


def _attempt(delivery: ProviderCallback) -> Submission:
    if delivery.submission is None:
        raise ValueError("an orphan has nobody to be told of")
    return delivery.submission


def _apply(submission: Submission, callback: wire.Callback) -> ProviderCallback.Outcome:
    match callback.verdict:
        case Completed(answer=answer):
            moved = lifecycle.answered(submission, answer)
        case Failed(reason=reason):
            moved = lifecycle.answered_error(submission, reason)
        case wire.NoVerdict(why=why):
            logger.warning("a callback without a verdict", extra={"why": why, "submission": str(submission.pk)})
            return ProviderCallback.Outcome.UNCLEAR
    return ProviderCallback.Outcome.APPLIED if moved else ProviderCallback.Outcome.IGNORED
