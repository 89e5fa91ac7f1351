"""Bounds the responses that keep a thread of the web server waiting: `Prefer: wait` (RFC 7240) and event streams.

A response takes a slot for as long as it waits. There are half as many slots as threads in a process, so other
requests always find a free thread. A request that finds no slot is answered at once with what is known.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rest_framework.request import Request

WAIT_SECONDS_MAX = 60
POLL_SECONDS = 0.25
# Half of the threads that a process of `manage.py serve` has.
MAX_CONCURRENT = max(1, int(os.environ.get("LIMN_WEB_THREADS", "8")) // 2)
_slots = threading.BoundedSemaphore(MAX_CONCURRENT)
# Preferences are separated by commas. RFC 7240 demands that a preference that cannot be understood is ignored.
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(?P<seconds>[0-9]{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


@contextmanager
def slot() -> Iterator[bool]:
    """Take a slot for the duration of the block. Yields False if all slots of this process are taken."""
    is_taken = _slots.acquire(blocking=False)
    try:
        yield is_taken
    finally:
        if is_taken:
            _slots.release()


def preferred_wait_seconds(request: Request) -> int:
    """Return how many seconds the client prefers to wait: 0 without a preference, at most WAIT_SECONDS_MAX."""
    match = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(match["seconds"]), WAIT_SECONDS_MAX) if match else 0


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait until the condition is true. Returns whether it is.

    Without a free slot it checks the condition once and returns immediately.
    """
    with slot() as has_slot:
        deadline = time.monotonic() + (seconds if has_slot else 0)
        while not (is_met := condition()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return is_met
