"""Answers that take their time: `Prefer: wait`, and streams. Few at once, so that they never starve the others."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rest_framework.request import Request

WAIT_SECONDS_MAX = 60
SECONDS_BETWEEN_LOOKS = 0.25
# Half of the threads that a process of `manage.py serve` has.
MAX_CONCURRENT = max(1, int(os.environ.get("LIMN_WEB_THREADS", "8")) // 2)
_seats = threading.BoundedSemaphore(MAX_CONCURRENT)
# RFC 7240: preferences by commas; what cannot be understood is as if it were not said.
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(?P<seconds>[0-9]{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


@contextmanager
def slot() -> Iterator[bool]:
    """Whether there is room for one more long answer in this process."""
    taken = _seats.acquire(blocking=False)
    try:
        yield taken
    finally:
        if taken:
            _seats.release()


def preferred_seconds(request: Request) -> int:
    """How long the client would wait for the end, at most a minute. 0 when it did not say so."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(found["seconds"]), WAIT_SECONDS_MAX) if found else 0


def wait(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Whether it came true in time. False at once when too many wait already."""
    with slot() as taken:
        give_up_at = time.monotonic() + (seconds if taken else 0)
        while not (so := condition()) and time.monotonic() < give_up_at:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return so
