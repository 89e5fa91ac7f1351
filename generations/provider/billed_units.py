"""Asks fal how many units it bills for a submission. A callback does not say; the stored result does, for an hour.

Only the comparison with fal's bill needs the figure. Each submission is asked about once, so this causes as many
requests as there are jobs, and a few more if fal does not answer.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from database import clock
from generations.fal import Completed, Failed, FalError, Gone
from generations.jobs.statements import update_unlocked
from generations.models import Phase, Submission
from generations.provider import clients

logger = logging.getLogger(__name__)

RETRY = timedelta(minutes=1)
# fal keeps a result for an hour, a large one for minutes (docs/fal.md).
RESULT_KEPT = timedelta(hours=1)
# Of one process. httpx looks through all connections of its pool for each request, so more of them take more CPU time.
REQUESTS_AT_ONCE = 4
# In these phases fal has finished, so its result does not change any more.
SETTLED = (Phase.STORING, Phase.DONE)
# The units of a bill have at most six decimals; the column keeps nine.
PLACES = Decimal(1).scaleb(-9)

_threads = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="units")


def record_units(submission: Submission, units: Decimal | None) -> None:
    """Record the units that fal's result names; None if it names none. It is not asked about again."""
    _record(Submission.objects.filter(pk=submission.pk), units)


def _record(submissions: QuerySet[Submission], units: Decimal | None) -> None:
    changes: dict[str, Any] = {"units_due_at": None}
    if units is not None:
        changes["billable_units"] = units.quantize(PLACES)
    # Without those that another transaction changes now: they are asked about again. It may wait for one of the others.
    update_unlocked(submissions, **changes)


def run_once(*, limit: int) -> int:
    """Ask about up to `limit` submissions that have ended. Returns how many."""
    # The first two conditions are those of the partial index.
    due = Submission.objects.exclude(response_url="").filter(
        units_due_at__lte=clock.now(),
        state__in=[Submission.State.ACCEPTED, Submission.State.SURPLUS],
        generation__phase__in=SETTLED,
    )
    ended = [f"generation__{moment}_at" for moment in ("finished", "answered", "created")]
    receipt = ("request_id", "status_url", "response_url", "cancel_url", "generation__endpoint")
    submissions = due.select_related("generation").only("units_due_at", *receipt, *ended)
    asked = list(submissions.order_by("units_due_at")[:limit])
    ask(asked)
    return len(asked)


def ask(submissions: Sequence[Submission]) -> None:
    """Ask fal about the submissions, several at once, except those that another worker has asked about since."""
    postponed = _postpone(submissions)
    if not postponed:
        return
    # The threads wait for fal, and use no connection to the database.
    answers = list(_threads.map(_read_result, postponed))
    settled: dict[Decimal | None, list[UUID]] = defaultdict(list)
    for submission, answer in zip(postponed, answers, strict=True):
        if isinstance(answer, FalError) and not isinstance(answer, Gone):
            logger.info("the billed units could not be read", extra={"error": f"{answer}"[:200]})
            generation = submission.generation
            ended_at = generation.finished_at or generation.answered_at or generation.created_at
            if clock.now() - ended_at <= RESULT_KEPT:
                continue
        settled[None if isinstance(answer, FalError) else answer.billable_units].append(submission.pk)
    # Most images of a model are the same number of units.
    for units, keys in settled.items():
        _record(Submission.objects.filter(pk__in=keys), units)


def _postpone(submissions: Sequence[Submission]) -> Sequence[Submission]:
    """Make the rows due later, unless another worker has since they were read. Returns those that it has not.

    Before the requests: of two workers one asks, and a submission that kills its worker is not asked about at once.
    """
    if not submissions:
        return []
    later = clock.now() + RETRY
    rows = Submission.objects.filter(pk__in=[submission.pk for submission in submissions])
    due = rows.filter(units_due_at__lte=clock.now())
    own = {submission.pk for submission in update_unlocked(due, units_due_at=later)}
    return [submission for submission in submissions if submission.pk in own]


def _read_result(submission: Submission) -> Completed | Failed | FalError:
    try:
        return clients.fal().result(clients.receipt_of(submission).response_url)
    except FalError as error:
        return error
