"""What became of orders lately: how many failed, who told of the others' verdicts, and how late callbacks come.

Bounded however many orders there are: found by ids, which begin with the time, and never more than LOOKED_AT rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from database.ids import first_id
from generations.catalogue import MODELS
from generations.models import FailureCode, Generation, Phase, ProviderCallback, Status, Submission

HOUR = timedelta(hours=1)
# Deadlines are hours at most, and a copy is tried for some more: what ended within this hour was made within a day.
LIFE_MAX = timedelta(days=1)
LOOKED_AT = 1000
# The customer's own doing says nothing about us, or about fal.
CUSTOMERS_OWN = {FailureCode.CANCELLED, FailureCode.INVALID_INPUT, FailureCode.CONTENT_POLICY}
# With these fal itself has ended what it had taken.
FALS_VERDICTS = {
    FailureCode.PROVIDER_ERROR,
    FailureCode.PROVIDER_TIMEOUT,
    FailureCode.INVALID_INPUT,
    FailureCode.CONTENT_POLICY,
}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One order that has ended."""

    model: str
    is_bad: bool
    """It failed, and not by its customer's doing."""
    by_callback: bool | None
    """Whether fal's callback told us of its verdict, or our own asking did; None: fal gave none."""


def ended() -> list[Ended]:
    """The newest LOOKED_AT orders that ended within the last hour."""
    now = timezone.now()
    young = Generation.objects.filter(pk__gte=first_id(now - LIFE_MAX))
    names = ("model", "status", "failure_code", "submitted_at", "answered_at", "called")
    rows = young.filter(phase=Phase.DONE, finished_at__gte=now - HOUR).annotate(called=called_back("pk"))
    return [_ended(row) for row in rows.order_by("-pk").values(*names)[:LOOKED_AT]]


def called_back(generation: str) -> Exists:
    """Whether a callback moved it: that was the first to tell of fal's verdict."""
    callbacks = ProviderCallback.objects.filter(
        submission__generation=OuterRef(generation), outcome=ProviderCallback.Outcome.APPLIED
    )
    return Exists(callbacks)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What fal counted for the orders of a model, and what they were reckoned at; both at list price, in credits."""

    model: str
    orders: int
    counted: Decimal
    reckoned: int


def counted() -> list[Counted]:
    """By model, of the newest LOOKED_AT orders of a day that were made whole and of which fal has told the units."""
    known = Submission.objects.filter(billable_units__isnull=False, state=Submission.State.ACCEPTED)
    whole = known.filter(generation__pk__gte=first_id(timezone.now() - LIFE_MAX), generation__status=Status.COMPLETED)
    rows = whole.filter(
        generation__captured=F("generation__credits"), generation__list_price_millidollars__isnull=False
    )
    newest = rows.order_by("-generation").values_list(
        "generation__model", "billable_units", "generation__list_price_millidollars"
    )
    by_model: dict[str, list[tuple[Decimal, int]]] = {}
    for slug, units, reckoned in newest[:LOOKED_AT]:
        if slug in MODELS and units is not None and reckoned is not None:
            by_model.setdefault(slug, []).append((units * MODELS[slug].unit_price_millidollars, reckoned))
    return [
        Counted(
            model=slug,
            orders=len(found),
            counted=sum((c for c, _ in found), Decimal(0)),
            reckoned=sum(r for _, r in found),
        )
        for slug, found in sorted(by_model.items())
    ]


def callback_lags() -> list[float]:
    """Of the last callbacks within an hour, in seconds, the shortest first.

    From its coming until its verdict was known here; and when our own asking was faster, from then until it came:
    by so much at least it was late. When fal itself was done is nowhere said.
    """
    names = ("received_at", "submission__generation__answered_at")
    newest = ProviderCallback.objects.exclude(submission=None).order_by("-id").values_list(*names)[:LOOKED_AT]
    since = timezone.now() - HOUR
    return sorted(
        abs((received - answered).total_seconds()) for received, answered in newest if answered and received >= since
    )


def percent(part: Iterable[bool]) -> int | None:
    """How many of a hundred are so, rounded down; None when there are none at all."""
    those = list(part)
    return 100 * sum(those) // len(those) if those else None


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value that this share of them does not exceed; None when there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _ended(row: dict[str, Any]) -> Ended:
    code = row["failure_code"]
    has_verdict = row["answered_at"] is not None or (row["submitted_at"] is not None and code in FALS_VERDICTS)
    return Ended(
        model=row["model"],
        is_bad=row["status"] == Status.FAILED and code not in CUSTOMERS_OWN,
        by_callback=row["called"] if has_verdict else None,
    )
