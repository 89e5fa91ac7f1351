"""What a request waits for outside: pictures and pages that are named by address, and files that are looked into.

Each holds a thread of the web server, for many seconds where the other side is slow, and fal's callbacks come through
the same threads. So there are few at once in each process, and nobody has all of them.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from credits.models import Account
from errors import DomainError

# Of eight threads, four may wait with a client (generations.http.long_polling) and three be here: one is always free.
MAX_CONCURRENT = max(1, int(os.environ.get("LIMN_WEB_THREADS", "8")) * 3 // 8)
MAX_CONCURRENT_PER_ACCOUNT = max(1, MAX_CONCURRENT - 1)
RETRY_AFTER_SECONDS = 1


class Busy(DomainError):
    """All slots for outbound fetches are taken."""

    code, status, title = "rate_limited", 429, "Too many requests"
    default_detail = "Too many files and pages are being fetched at the moment. Try again in a second."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


_lock = threading.Lock()
_taken: Counter[int] = Counter()


@contextmanager
def slot(account: Account) -> Iterator[None]:
    """Room for one more look, by this customer. Raises Busy at once when there is none."""
    with _lock:
        if _taken.total() >= MAX_CONCURRENT or _taken[account.pk] >= MAX_CONCURRENT_PER_ACCOUNT:
            raise Busy
        _taken[account.pk] += 1
    try:
        yield
    finally:
        with _lock:
            _taken.subtract([account.pk])
            if not _taken[account.pk]:
                del _taken[account.pk]
