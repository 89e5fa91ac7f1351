"""So many a minute, and so many at once: a token bucket that all processes share, by the database's clock.

A bucket is one moment: when it will be full again, if nobody takes from it. Taking moves that moment on, and there is
room as long as it is not too far ahead (the "generic cell rate algorithm"). So a bucket is one row, taking is one
conditional UPDATE, and of many who take at once only as many succeed as there is room for. Within any minute at most
`burst + per_minute` are let through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F
from django.db.models.expressions import Combinable
from django.db.models.functions import Greatest, Now

from accounts.models import Bucket
from database.clock import from_now
from database.time_scale import scaled

# What was full a day ago says nothing any more; and anybody may make a login's bucket by typing a name.
FORGOTTEN_AFTER_SECONDS = 24 * 3600
# Who was refused by a hair waits for something all the same.
WAIT_SECONDS_MIN = 0.001


@dataclass(frozen=True, kw_only=True)
class Rate:
    per_minute: int
    burst: int
    """How many at once, after a rest."""

    @property
    def interval_seconds(self) -> float:
        return scaled(60 / self.per_minute)


def acquire(name: str, rate: Rate, *, count: int = 1) -> float:
    """Take `count`, all or none. 0 when they were there, else in how many seconds they will be."""
    if _pour(name, rate, count):
        return 0
    _, is_new = Bucket.objects.get_or_create(name=name, defaults={"full_at": Now()})
    if is_new:
        Bucket.objects.filter(full_at__lt=from_now(-FORGOTTEN_AFTER_SECONDS)).delete()
    if _pour(name, rate, count):
        return 0
    return max(_ahead_seconds(name) - (rate.burst - count) * rate.interval_seconds, WAIT_SECONDS_MIN)


def give_back(name: str, rate: Rate) -> None:
    """One was taken for nothing."""
    Bucket.objects.filter(name=name).update(full_at=_later(F("full_at"), -rate.interval_seconds))


def available(name: str, rate: Rate) -> int:
    """How many could be taken now."""
    return max(0, rate.burst - math.ceil(_ahead_seconds(name) / rate.interval_seconds))


def _pour(name: str, rate: Rate, count: int) -> bool:
    # The condition and the change are one statement: whoever comes second sees what the first has left.
    room = Bucket.objects.filter(name=name, full_at__lte=from_now((rate.burst - count) * rate.interval_seconds))
    return room.update(full_at=_later(Greatest(F("full_at"), Now()), count * rate.interval_seconds)) == 1


def _later(moment: Combinable, seconds: float) -> ExpressionWrapper[Combinable]:
    return ExpressionWrapper(moment + timedelta(seconds=seconds), output_field=DateTimeField())


def _ahead_seconds(name: str) -> float:
    ahead = ExpressionWrapper(F("full_at") - Now(), output_field=DurationField())
    found: timedelta | None = Bucket.objects.filter(name=name).values_list(ahead, flat=True).first()
    return max(0.0, found.total_seconds()) if found else 0.0
