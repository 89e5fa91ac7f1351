"""The clock of the database, as a process knows it."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from credits.models import Account
from database import clock
from tests.helpers.clocks import process_clock_ahead
from tests.helpers.source import ROOT
from tests.services.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.only_postgresql]
# What they show or sign is right within the half minute by which the clock of a working process may be wrong.
READS_THE_CLOCK_OF_THE_PROCESS = {
    "database/clock.py",
    "generations/admin/pricing.py",
    "generations/api/catalogue.py",
    "generations/api/generations.py",
    "generations/api/keys.py",
    "generations/api/representation.py",
    "generations/files/request_signing.py",
    "generations/jobs/retry_after.py",
    "generations/pages/api_keys.py",
}
PRODUCT = ("accounts", "config", "credits", "database", "generations", "notifications", "operations")


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "ROUND_TRIP_SECONDS_MAX", math.inf)
    monkeypatch.setattr(clock, "_measured", type(clock._measured)())


@pytest.mark.parametrize("hours", [-3, 0, 7])
def test_now_is_the_time_of_the_database_whatever_the_process_has(hours: int) -> None:
    with process_clock_ahead(timedelta(hours=hours)):
        now, skew = clock.now(), clock.skew_seconds()

    # Of the same transaction, so it is not after the statement above.
    (of_database,) = Account.objects.values_list(Now(), flat=True)[:1] or (now,)
    assert abs(now - of_database) < timedelta(seconds=10)
    assert skew == pytest.approx(hours * 3600, abs=10)


def test_the_database_is_asked_once_a_minute(monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any) -> None:
    monkeypatch.setattr(clock, "MEASURED_EVERY_SECONDS", 60.0)

    with django_assert_num_queries(1):
        times = [clock.now() for _ in range(100)]

    assert times == sorted(times)


def test_a_reading_with_a_slow_round_trip_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "ROUND_TRIP_SECONDS_MAX", 0.5)
    delays = iter([0.6, 0.0])

    def delayed(execute: Any, sql: str, *rest: Any) -> Any:
        execute(f"SELECT PG_SLEEP({next(delays)})", *rest)
        return execute(sql, *rest)

    with connection.execute_wrapper(delayed):
        assert clock.skew_seconds() == pytest.approx(0, abs=0.25)
    assert next(delays, None) is None


def test_the_measured_time_goes_on() -> None:
    started = clock.now()

    until(lambda: clock.now() > started + timedelta(milliseconds=20))
    assert clock.skew_seconds() == pytest.approx(0, abs=10)


def test_a_database_that_was_never_reached_has_no_time() -> None:
    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        clock.now()


def test_a_measured_time_outlives_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = clock.now()
    monkeypatch.setattr(clock, "MEASURED_EVERY_SECONDS", 0.0)

    with connection.execute_wrapper(away):
        assert clock.now() >= measured


def away(*_: Any) -> NoReturn:
    raise OperationalError("away")


@pytest.mark.parametrize("seconds, is_wrong", [(-3600, True), (-40, True), (-20, False), (20, False), (40, True)])
def test_a_clock_is_wrong_if_it_is_half_a_minute_off(seconds: int, is_wrong: bool) -> None:
    with process_clock_ahead(timedelta(seconds=seconds)):
        assert clock.is_wrong() == is_wrong


@pytest.mark.once
def test_no_decision_reads_the_clock_of_the_process() -> None:
    reads = re.compile(r"timezone\.now\b|datetime\.(now|utcnow)\(|\btime\.time\(|auto_now_add")
    modules = [path for name in PRODUCT for path in (ROOT / name).rglob("*.py") if "migrations" not in path.parts]

    reading = {str(path.relative_to(ROOT)) for path in modules if reads.search(path.read_text())}

    assert reading - READS_THE_CLOCK_OF_THE_PROCESS == {"database/statements.py"}
    assert timezone.is_aware(clock.now())
