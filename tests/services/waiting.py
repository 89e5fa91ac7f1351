"""Waiting for a condition. This is the only module of the tests that sleeps, and only between two checks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

# Every wait of the tests ends here, and only a hang reaches it. At a load of 30 on two cores, the slowest step (a
# command beside `make run`) has taken more than 120 s.
# Seeded bugs and mutations set a lower limit: some of them make a test hang, which is how the test catches them.
HANG_SECONDS = float(os.environ.get("TEST_HANG_SECONDS", "300"))
_SECONDS_BETWEEN_CHECKS = 0.02

Found = TypeVar("Found")


def until(condition: Callable[[], Found], *, what: str = "") -> Found:
    """Calls `condition` until it returns something true, and returns that.

    Args:
        condition: Called every 20 ms.
        what: What the test waits for, in the message of the failure.

    Raises:
        AssertionError: It was not true within `HANG_SECONDS`.
    """
    deadline = time.monotonic() + HANG_SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {HANG_SECONDS:g} s in vain for {what or condition}.")
        time.sleep(_SECONDS_BETWEEN_CHECKS)
    return found


def a_lock_is_awaited() -> bool:
    """Whether a connection to the test's own database waits for a lock, on PostgreSQL."""
    with connection.cursor() as cursor:
        # Other workers of pytest use other databases of the same server.
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        return cursor.fetchone() is not None
