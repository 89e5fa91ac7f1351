"""The inbox of fal's callbacks: each was stored as it came, and is reported to the lifecycle here, once.

`callbacks.views` calls `process` for a new callback. The reconciler calls `catch_up` for those that were stored and not
processed.
"""

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
def process(stored: ProviderCallback) -> ProviderCallback.Outcome:
    """Report a stored callback to the lifecycle. Raises ValueError for one without a submission.

    One transaction: a process that dies in it leaves the callback to the next one.
    """
    if stored.submission is None:
        raise ValueError("a callback without a submission cannot be processed")
    callback = wire.read_callback(bytes(stored.body))
    # The callback may come before the receipt: then fal's acceptance is learnt from it.
    receipt = clients.fal().receipt_for(stored.submission.generation.endpoint, callback.request_id)
    lifecycle.submitted(stored.submission, receipt)
    # `submitted` took the generation's lock. The process that held it before may have processed this very callback.
    unprocessed = ProviderCallback.objects.filter(pk=stored.pk, outcome=ProviderCallback.Outcome.RECEIVED)
    if not unprocessed.exists():
        return ProviderCallback.Outcome.IGNORED
    failpoints.reach("adopted")
    # By the request id, because `submitted` gives a second job of one submission a row of its own.
    submission = Submission.objects.get(request_id=callback.request_id)
    moved: bool | None = None
    match callback.verdict:
        case Completed(answer=answer):
            moved = lifecycle.answered(submission, answer)
        case Failed(reason=reason):
            moved = lifecycle.answered_error(submission, reason)
        case wire.NoVerdict(why=why):
            # The reconciler asks fal instead.
            logger.warning("a callback without a verdict", extra={"why": why, "submission": str(submission.pk)})
    outcomes = {
        True: ProviderCallback.Outcome.APPLIED,
        False: ProviderCallback.Outcome.IGNORED,
        None: ProviderCallback.Outcome.UNCLEAR,
    }
    outcome = outcomes[moved]
    # The body of a callback for an erased generation is not kept: it may repeat the prompt.
    is_erased = Generation.objects.filter(pk=stored.submission.generation_id, erased_at__isnull=False).exists()
    unprocessed.update(outcome=outcome, **({"body": b""} if is_erased else {}))
    return outcome


def catch_up(generation: Generation) -> bool:
    """Process the callbacks that were stored and not processed: the row was locked, or the process died.

    Returns whether one of them moved the generation.
    """
    unprocessed = ProviderCallback.objects.filter(
        submission__generation=generation, outcome=ProviderCallback.Outcome.RECEIVED
    )
    in_order = unprocessed.select_related("submission__generation").order_by("pk")
    return ProviderCallback.Outcome.APPLIED in [process(stored) for stored in in_order]
