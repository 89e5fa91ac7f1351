"""Counts rejected callbacks by status. They are not stored, because anyone on the internet can send them.

A flood of forgeries must not become a flood of writes, and nothing may touch the database before a signature is
verified. So each process counts in memory, and a thread of it writes the counts to the database every few seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from django.db import Error, connection, transaction
from django.db.models import F
from psycopg_pool import PoolTimeout

from generations.models import RejectedCallbacks

logger = logging.getLogger(__name__)

# A process that is killed loses the counts of this time.
SECONDS_BETWEEN_FLUSHES = 5.0

_lock = threading.Lock()
_counts: Counter[int] = Counter()
_has_counts = threading.Event()


def count(status: int) -> None:
    """Count one rejected callback."""
    with _lock:
        _counts[status] += 1
    _has_counts.set()


def flush() -> None:
    """Add the counts since the last flush to the table. If the database is unavailable, the next flush adds them."""
    with _lock:
        _has_counts.clear()
        counts = Counter(_counts)
        _counts.clear()
    try:
        with transaction.atomic():
            for status, number in sorted(counts.items()):
                RejectedCallbacks.objects.get_or_create(status=status)
                RejectedCallbacks.objects.filter(status=status).update(number=F("number") + number)
    except (Error, PoolTimeout):
        logger.warning("rejected callbacks could not be counted yet", exc_info=True)
        with _lock:
            _counts.update(counts)
        _has_counts.set()


def start_flushing() -> None:
    """Start the thread that flushes the counts of this process."""
    threading.Thread(target=_flush_forever, name="rejected callbacks", daemon=True).start()


def _flush_forever() -> None:
    while True:
        _has_counts.wait()
        flush()
        # The thread has a connection of its own.
        connection.close()
        time.sleep(SECONDS_BETWEEN_FLUSHES)
