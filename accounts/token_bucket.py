"""Rate limits that all processes share: a token bucket in one row of the database, by the database's clock.

A bucket is stored as one moment: when it will be full again if nothing more is taken. Taking tokens moves that moment
into the future, and is allowed while it is not too far ahead (the "generic cell rate algorithm"). Taking is therefore
one conditional UPDATE, and concurrent callers together take no more than the bucket has. In any minute at most
`burst + per_minute` tokens are taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from accounts import statements
from accounts.models import Bucket
from database.clock import from_now
from database.time_scale import scaled

# A bucket that has been full for a day carries no information. Anonymous logins create buckets, so old ones must go.
DELETE_AFTER_SECONDS = 24 * 3600
# A refused caller always gets a positive number: 0 means that the tokens were taken.
WAIT_SECONDS_MIN = 0.001


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How fast a bucket refills, and how much it holds."""

    per_minute: int
    burst: int
    """Tokens in a full bucket."""

    @property
    def interval_seconds(self) -> float:
        """Time in which one token comes back."""
        return scaled(60 / self.per_minute)


def acquire(name: str, rate: Rate, *, count: int = 1) -> float:
    """Take `count` tokens from a bucket, or none.

    Returns:
        0 if they were taken, otherwise the seconds until that many tokens will be there.
    """
    if _try_acquire(name, rate, count):
        return 0
    # Either the bucket is too empty or it does not exist yet. A new bucket is full.
    _, is_new = Bucket.objects.get_or_create(name=name, defaults={"full_at": Now()})
    if is_new:
        Bucket.objects.filter(full_at__lt=from_now(-DELETE_AFTER_SECONDS)).delete()
    if _try_acquire(name, rate, count):
        return 0
    return max(_seconds_until_full(name) - (rate.burst - count) * rate.interval_seconds, WAIT_SECONDS_MIN)


def give_back(name: str, rate: Rate) -> None:
    """Put back one token that was taken but not used."""
    earlier = ExpressionWrapper(F("full_at") - timedelta(seconds=rate.interval_seconds), output_field=DateTimeField())
    Bucket.objects.filter(name=name).update(full_at=earlier)


def available(name: str, rate: Rate) -> int:
    """Return how many tokens the bucket has now. Another process may take them before the caller does."""
    return max(0, rate.burst - math.ceil(_seconds_until_full(name) / rate.interval_seconds))


def _try_acquire(name: str, rate: Rate, count: int) -> bool:
    # One statement checks the bucket and changes it, so the second of two callers sees what the first has left.
    ahead_max, cost = (rate.burst - count) * rate.interval_seconds, count * rate.interval_seconds
    return statements.take_tokens(name, ahead_max=timedelta(seconds=ahead_max), cost=timedelta(seconds=cost))


def _seconds_until_full(name: str) -> float:
    remaining = ExpressionWrapper(F("full_at") - Now(), output_field=DurationField())
    found: timedelta | None = Bucket.objects.filter(name=name).values_list(remaining, flat=True).first()
    return max(0.0, found.total_seconds()) if found else 0.0
