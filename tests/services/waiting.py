"""Waiting for a condition. The only place in the tests that sleeps, and only between two looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

_SECONDS_BETWEEN_LOOKS = 0.02

Found = TypeVar("Found")


def until(condition: Callable[[], Found], *, within_seconds: float = 10.0, what: str = "") -> Found:
    """Look at `condition` until it is true, and answer what it found."""
    deadline = time.monotonic() + within_seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {within_seconds:g} s in vain for {what or condition}.")
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return found


def somebody_waits() -> bool:
    """On PostgreSQL: for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None
