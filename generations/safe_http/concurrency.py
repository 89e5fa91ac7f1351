"""Limits how many web requests of this process fetch files and pages at the same time.

Such a request occupies a thread of the web server for many seconds if the other side is slow, and fal's callbacks need
the same threads. `ordering.input_files` and `infographics.prompts` take a slot before they fetch. Workers take none:
they have threads of their own.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from generations.errors import RateLimited

# Of eight threads, four may serve long polls (`generations.http.long_polling`) and three may fetch: one is always free.
MAX_CONCURRENT = max(1, int(os.environ.get("LIMN_WEB_THREADS", "8")) * 3 // 8)
# One account alone cannot take all slots.
MAX_CONCURRENT_PER_ACCOUNT = max(1, MAX_CONCURRENT - 1)
RETRY_AFTER_SECONDS = 1


class Busy(RateLimited):
    """All slots are taken, or all those that one account may have."""

    default_detail = "Too many files and pages are being fetched at the moment. Try again in a second."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


_lock = threading.Lock()
_taken: Counter[int] = Counter()
"""The number of slots that each account holds, by its primary key."""


@contextmanager
def slot(account_id: int) -> Iterator[None]:
    """Hold a slot for the duration of the block. Raises Busy at once, without waiting, if there is none."""
    with _lock:
        if _taken.total() >= MAX_CONCURRENT or _taken[account_id] >= MAX_CONCURRENT_PER_ACCOUNT:
            raise Busy
        _taken[account_id] += 1
    try:
        yield
    finally:
        with _lock:
            _taken.subtract([account_id])
            if not _taken[account_id]:
                # Otherwise the counter would keep an entry for every account it has ever seen.
                del _taken[account_id]
