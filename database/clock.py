"""The time by the clock of the database server: the only one that decides anything.

Several machines share the database, and their clocks differ. `now` is the present time of the database. It is measured
once a minute and carried on by the steady clock of this machine, which is never set, so it costs no statement.
`from_now` is for statements that compute with the time themselves.

A process whose own clock is far from the database's does no work (`is_wrong`), because libraries use that clock:
signatures for the storage, sessions and log lines would carry a wrong time. SQLite runs in the process and has its
clock, so there is nothing to compare.
"""

from __future__ import annotations

import logging
import math
import time
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone

from database.vendor import vendor

logger = logging.getLogger(__name__)

# More than synchronized clocks ever differ, and much less than any deadline.
SKEW_SECONDS_MAX = 30.0
MEASURED_EVERY_SECONDS = 60.0
LOGGED_EVERY_SECONDS = 60.0
# A reading is inaccurate by up to half of its round trip, so a slow one is repeated.
ROUND_TRIP_SECONDS_MAX = 0.05
READINGS_MAX = 3
# It goes on while the machine is suspended. Only Linux has it.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def from_now(seconds: float) -> ExpressionWrapper[Combinable]:
    """Return an expression for the moment `seconds` after the database's present time, or before it if negative."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


def now() -> datetime:
    """Return the present time of the database. Once a minute it costs a statement.

    Raises DatabaseError if this process has never reached the database.
    """
    if vendor() != "postgresql":
        return timezone.now()
    return _measured.now()


def skew_seconds() -> float:
    """Return by how many seconds the clock of this process is ahead of the database's; negative if it is behind.

    Raises DatabaseError as `now` does.
    """
    of_database = now().timestamp()
    # Read afterwards, because `now` may wait for the database.
    return time.time() - of_database


def is_wrong() -> bool:
    """Return whether this process must do no work, because its clock is too far from the database's.

    Raises DatabaseError as `now` does.
    """
    return abs(skew_seconds()) > SKEW_SECONDS_MAX


class SkewLog:
    """Logs once a minute that the clock of this process is wrong. Safe to share between threads."""

    def __init__(self) -> None:
        self._logged_at = -math.inf

    def report(self) -> None:
        if time.monotonic() - self._logged_at >= LOGGED_EVERY_SECONDS:
            self._logged_at = time.monotonic()
            logger.error(
                "the clock of this process is wrong, and it does no work until the clock is set",
                extra={"seconds_ahead_of_the_database": round(skew_seconds())},
            )


class _MeasuredTime:
    """The database's time at a moment, and that moment by the steady clock of this machine."""

    def __init__(self) -> None:
        self._measurement: tuple[datetime, float] | None = None
        self._tried_at = -math.inf

    def now(self) -> datetime:
        measured = self._measurement
        if measured is None or time.clock_gettime(_STEADY) - self._tried_at >= MEASURED_EVERY_SECONDS:
            self._tried_at = time.clock_gettime(_STEADY)
            try:
                measured = self._measurement = _measure()
            except Exception:
                # What was measured before is still good: the steady clock loses less than a second in a day.
                if measured is None:
                    raise
        at, measured_at = measured
        return at + timedelta(seconds=time.clock_gettime(_STEADY) - measured_at)


def _measure() -> tuple[datetime, float]:
    readings: list[tuple[float, datetime, float]] = []
    while len(readings) < READINGS_MAX:
        started = time.clock_gettime(_STEADY)
        with connection.cursor() as cursor:
            cursor.execute("SELECT CLOCK_TIMESTAMP()")
            (at,) = cursor.fetchone()
        round_trip = time.clock_gettime(_STEADY) - started
        # The database has read its clock between the two readings of this one.
        readings.append((round_trip, at.astimezone(UTC), started + round_trip / 2))
        if round_trip <= ROUND_TRIP_SECONDS_MAX:
            break
    _, at, measured_at = min(readings)
    return at, measured_at


_measured = _MeasuredTime()
