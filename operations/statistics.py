"""Statistics about the last hour and the last day: failures, callbacks, and what fal counted.

The health check of fal, the metrics and the alert rules use them. Every query is bounded, however many generations
there are: rows are found by their ids, which begin with the time, and at most ROWS_MAX of them are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Exists, F, OuterRef

from database import clock
from database.ids import first_id
from generations.catalogue import MODELS
from generations.models import Event, FailureCode, Generation, Phase, ProviderCallback, Status, Submission

HOUR = timedelta(hours=1)
# Deadlines are at most hours, and copying is tried for some hours more. So what ended within the last hour was ordered
# within a day, and is found by its id.
LIFETIME_MAX = timedelta(days=1)
ROWS_MAX = 1000
# Caused by the customer, so they are no sign of trouble at Limn or at fal.
CUSTOMER_FAILURES = {FailureCode.CANCELLED, FailureCode.INVALID_INPUT, FailureCode.CONTENT_POLICY}
# The failures that are verdicts of fal, provided that fal had accepted the job.
VERDICT_FAILURES = {
    FailureCode.PROVIDER_ERROR,
    FailureCode.PROVIDER_TIMEOUT,
    FailureCode.INVALID_INPUT,
    FailureCode.CONTENT_POLICY,
}


@dataclass(frozen=True, kw_only=True)
class EndedGeneration:
    """What the statistics need to know of a generation that has ended."""

    model: str
    """The slug of its model."""
    is_failure: bool
    """Whether it failed for a reason other than the customer's own."""
    is_internal_error: bool
    """Whether an error of Limn ended it."""
    by_callback: bool | None
    """Whether fal's verdict arrived by callback first, or by polling. None: fal gave no verdict."""


def ended_generations() -> list[EndedGeneration]:
    """Return the generations that ended within the last hour; of more than ROWS_MAX, those that ended last."""
    recent = Generation.objects.filter(phase=Phase.DONE, finished_at__gte=clock.now() - HOUR)
    ended = recent.annotate(called=verdict_by_callback("pk")).order_by("-finished_at")
    names = ("model", "status", "failure_code", "submitted_at", "answered_at", "called")
    found = []
    for model, status, code, submitted_at, answered_at, called in ended.values_list(*names)[:ROWS_MAX]:
        # The same code may come from a submission that fal never accepted, which is not a verdict on a job.
        has_verdict = answered_at is not None or (submitted_at is not None and code in VERDICT_FAILURES)
        found.append(
            EndedGeneration(
                model=model,
                is_failure=status == Status.FAILED and code not in CUSTOMER_FAILURES,
                is_internal_error=code == FailureCode.INTERNAL_ERROR,
                by_callback=called if has_verdict else None,
            )
        )
    return found


def verdict_by_callback(generation: str) -> Exists:
    """Return the condition that a callback of a generation was applied, so that it was the first to report the verdict.

    Args:
        generation: The name of the field with the id of the generation, in the outer query.
    """
    applied = ProviderCallback.objects.filter(
        submission__generation=OuterRef(generation), outcome=ProviderCallback.Outcome.APPLIED
    )
    return Exists(applied)


@dataclass(frozen=True, kw_only=True)
class CountedUnits:
    """The completed generations of one model, and the units that fal counted for them."""

    model: str
    generations: int
    counted_credits: Decimal
    """The counted units at the model's list price."""
    listed_credits: int
    """The list prices of the same generations, as calculated when they were ordered."""


def counted_units() -> list[CountedUnits]:
    """Return, by model, the units that fal counted for the last ROWS_MAX complete generations of the last day.

    Generations that were charged in part are left out, because their list price does not say what fal should count.
    """
    known = Submission.objects.filter(billable_units__isnull=False, state=Submission.State.ACCEPTED)
    complete = known.filter(
        generation__pk__gte=first_id(clock.now() - LIFETIME_MAX),
        generation__status=Status.COMPLETED,
        generation__captured=F("generation__credits"),
        generation__list_price_millidollars__isnull=False,
    )
    names = ("generation__model", "billable_units", "generation__list_price_millidollars")
    by_model: dict[str, list[tuple[Decimal, int]]] = {}
    for slug, units, listed in complete.order_by("-generation").values_list(*names)[:ROWS_MAX]:
        # A model that has left the catalogue has no price any more.
        if slug in MODELS and units is not None and listed is not None:
            by_model.setdefault(slug, []).append((units * MODELS[slug].unit_price_millidollars, listed))
    return [
        CountedUnits(
            model=slug,
            generations=len(prices),
            # One credit is one thousandth of a dollar of the list price.
            counted_credits=sum((counted for counted, _ in prices), Decimal(0)),
            listed_credits=sum(listed for _, listed in prices),
        )
        for slug, prices in sorted(by_model.items())
    ]


def callback_lags() -> list[float]:
    """Return the lags of the last ROWS_MAX callbacks that arrived within the last hour, in seconds, shortest first.

    The lag is the time from the arrival of a callback until its verdict was known to Limn. If polling was faster, it is
    the time from that poll until the arrival, which is the least that the callback was late. fal does not report when a
    job ended.
    """
    names = ("received_at", "submission__generation__answered_at")
    newest = ProviderCallback.objects.exclude(submission=None).order_by("-id").values_list(*names)[:ROWS_MAX]
    since = clock.now() - HOUR
    return sorted(
        abs((received - answered).total_seconds()) for received, answered in newest if answered and received >= since
    )


def last_success_at() -> datetime | None:
    """Return when fal last delivered a result; None if it never did."""
    answered = Event.objects.filter(fact="answered").order_by("-id")
    return answered.values_list("created_at", flat=True).first()


def percent(values: Iterable[bool]) -> int | None:
    """Return how many percent of the values are true, rounded down; None if there is no value."""
    flags = list(values)
    return 100 * sum(flags) // len(flags) if flags else None


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest of the sorted values that at least this share (0 to 1) do not exceed; None without values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
