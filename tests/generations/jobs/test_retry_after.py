"""Reading the `Retry-After` header: seconds, dates and nonsense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from generations.jobs.retry_after import parse_retry_after

pytestmark = pytest.mark.once


def test_a_number_of_seconds_is_taken_up_to_the_limit() -> None:
    values = ("0", "7", "1.5", "3600", "3601", "9" * 400)

    assert [parse_retry_after(value, seconds_max=3600) for value in values] == [0, 7, 1.5, 3600, 3600, 3600]


def test_a_date_is_the_time_until_then() -> None:
    now = datetime.now(UTC)
    soon, late, past = (
        format_datetime(now + timedelta(seconds=seconds), usegmt=True) for seconds in (600, 9_000, -600)
    )

    assert 500 < (parse_retry_after(soon, seconds_max=3600) or 0) <= 600
    assert parse_retry_after(late, seconds_max=3600) == 3600
    assert parse_retry_after(past, seconds_max=3600) == 0


def test_a_date_without_a_zone_is_in_utc() -> None:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)

    assert 3500 < (parse_retry_after(f"{in_an_hour:%a, %d %b %Y %H:%M:%S} -0000", seconds_max=9_000) or 0) <= 3600


def test_a_header_that_cannot_be_read_asks_for_nothing() -> None:
    nonsense = (
        *("", "soon", "-5", "²", "1e3", "7 seconds"),
        *("Mon, 99 Foo 2026", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"),
    )

    assert [value for value in nonsense if parse_retry_after(value, seconds_max=3600) is not None] == []
