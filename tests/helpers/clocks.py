"""Other times than the present, for the whole system or for this process alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from database import clock


def just_passed() -> datetime:
    """Return a moment that is past by the clock of this process and by what it takes for the database's."""
    return timezone.now() - timedelta(seconds=1)


@contextmanager
def all_clocks_at(moment: datetime, *, tick: bool = False) -> Iterator[None]:
    """Set the clock of this process, and what it takes for the database's, to `moment`.

    Statements that compute with the time themselves go on with the real one.
    """
    with pytest.MonkeyPatch.context() as patched, time_machine.travel(moment, tick=tick):
        patched.setattr(clock, "now", timezone.now)
        yield


@contextmanager
def process_clock_ahead(by: timedelta) -> Iterator[None]:
    """Set the clock of this process wrong. The database keeps its own."""
    with time_machine.travel(timezone.now() + by):
        yield
