"""Asks fal how many units it bills for a submission. A callback does not say; the stored result does, for an hour.

Only the comparison with fal's bill needs the figure. Each submission is asked about once, so this causes as many
requests as there are jobs, and a few more if fal does not answer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from generations.fal import Completed, Failed, FalError, Gone
from generations.models import Phase, Submission
from generations.provider import clients

logger = logging.getLogger(__name__)

RETRY = timedelta(minutes=1)
# fal keeps a result for an hour, a large one for minutes (docs/fal.md).
RESULT_KEPT = timedelta(hours=1)
# In these phases fal has finished, so its result does not change any more.
SETTLED = (Phase.STORING, Phase.DONE)
# The units of a bill have at most six decimals; the column keeps nine.
PLACES = Decimal(1).scaleb(-9)


def record_units(submission: Submission, units: Decimal | None) -> None:
    """Record the units that fal's result names; None if it names none. It is not asked about again."""
    changes: dict[str, Any] = {"units_due_at": None}
    if units is not None:
        changes["billable_units"] = units.quantize(PLACES)
    Submission.objects.filter(pk=submission.pk).update(**changes)


def run_once(*, limit: int) -> int:
    """Ask about up to `limit` submissions that have ended. Returns how many."""
    due = Submission.objects.filter(
        units_due_at__lte=timezone.now(),
        state__in=[Submission.State.ACCEPTED, Submission.State.SURPLUS],
        generation__phase__in=SETTLED,
    ).exclude(response_url="")
    submissions = list(due.select_related("generation").order_by("units_due_at")[:limit])
    ask(submissions)
    return len(submissions)


def ask(submissions: Sequence[Submission]) -> None:
    """Ask fal about the submissions, all at once, except those that another worker has asked about since."""
    postponed = [submission for submission in submissions if _postpone(submission)]
    if not postponed:
        return
    # The threads wait for fal, and use no connection to the database.
    with ThreadPoolExecutor(max_workers=len(postponed), thread_name_prefix="units") as pool:
        answers = list(pool.map(_read_result, postponed))
    for submission, answer in zip(postponed, answers, strict=True):
        match answer:
            case Gone():
                record_units(submission, None)
            case FalError():
                generation = submission.generation
                ended_at = generation.finished_at or generation.answered_at or generation.created_at
                if timezone.now() - ended_at > RESULT_KEPT:
                    record_units(submission, None)
                logger.info("the billed units could not be read", extra={"error": f"{answer}"[:200]})
            case _:
                record_units(submission, answer.billable_units)


def _postpone(submission: Submission) -> bool:
    """Make the row due later, unless it has changed since it was read. Returns whether it had not.

    Before the request: of two workers one asks, and a submission that kills its worker is not asked about at once.
    """
    unchanged = Submission.objects.filter(pk=submission.pk, units_due_at=submission.units_due_at)
    return unchanged.update(units_due_at=timezone.now() + RETRY) == 1


def _read_result(submission: Submission) -> Completed | Failed | FalError:
    try:
        return clients.fal().result(submission.response_url)
    except FalError as error:
        return error
