"""Asks fal's results how many units they are billed as. A callback does not say, and the result knows it for an hour.

Nobody waits for it, and nothing hangs on it but the books: so one at a time, and each only a few times.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from generations.fal import FalError, Gone
from generations.models import Generation, Phase, Submission
from generations.provider import clients

logger = logging.getLogger(__name__)

RETRY = timedelta(minutes=1)
# fal keeps a result for an hour, a large one for minutes (fal-facts.md §2.1).
PATIENCE = timedelta(hours=1)
# fal has made it, or has given up: its result stands.
SETTLED = (Phase.STORING, Phase.DONE)
# Units of a bill have six decimals at most; the column keeps nine.
PLACES = Decimal(1).scaleb(-9)


def record_units(submission: Submission, units: Decimal | None) -> None:
    """fal's result says so; None: it does not say."""
    changes: dict[str, Any] = {"units_due_at": None}
    if units is not None:
        changes["billable_units"] = units.quantize(PLACES)
    Submission.objects.filter(pk=submission.pk).update(**changes)


def run_once(*, limit: int) -> int:
    """Ask about those that have ended, at most `limit`. How many it asked about."""
    asked = list(_due().select_related("generation").order_by("units_due_at")[:limit])
    for submission in asked:
        _ask(submission)
    return len(asked)


def _due() -> QuerySet[Submission]:
    billed = [Submission.State.ACCEPTED, Submission.State.SURPLUS]
    return Submission.objects.filter(
        units_due_at__lte=timezone.now(), state__in=billed, generation__phase__in=SETTLED
    ).exclude(response_url="")


def _ask(submission: Submission) -> None:
    # Written first: of two workers one asks, and who dies of it has moved it out of the way.
    taken = Submission.objects.filter(pk=submission.pk, units_due_at=submission.units_due_at)
    if not taken.update(units_due_at=timezone.now() + RETRY):
        return
    try:
        verdict = clients.fal().result(submission.response_url)
    except Gone:
        record_units(submission, None)
    except FalError as error:
        if _is_stale(submission.generation):
            record_units(submission, None)
        logger.info("fal could not be asked for billed units", extra={"error": f"{error}"[:200]})
    else:
        record_units(submission, verdict.billable_units)


def _is_stale(generation: Generation) -> bool:
    since = generation.finished_at or generation.answered_at or generation.created_at
    return timezone.now() - since > PATIENCE
