"""How many callbacks were refused, and with which status. They are not kept, for anybody may send them; but counted.

A flood of forgeries must not become a flood of writes, and nothing may touch the database before a signature holds.
So a process counts in memory, and a thread beside its requests writes down what has come, every few seconds at most.
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

# A process that is killed forgets what it counted within this time.
SECONDS_BETWEEN_WRITES = 5.0

_lock = threading.Lock()
_counted: Counter[int] = Counter()
_some = threading.Event()


def count(status: int) -> None:
    """One more."""
    with _lock:
        _counted[status] += 1
    _some.set()


def write_down() -> None:
    """What was counted since the last time. A database that is away gets it with the next."""
    with _lock:
        _some.clear()
        taken = Counter(_counted)
        _counted.clear()
    try:
        with transaction.atomic():
            for status, number in sorted(taken.items()):
                RejectedCallbacks.objects.get_or_create(status=status)
                RejectedCallbacks.objects.filter(status=status).update(number=F("number") + number)
    except (Error, PoolTimeout):
        logger.warning("refused callbacks are counted later", exc_info=True)
        with _lock:
            _counted.update(taken)
        _some.set()


def keep_writing() -> None:
    """From now on, in this process."""
    threading.Thread(target=_write_for_ever, name="refused callbacks", daemon=True).start()


def _write_for_ever() -> None:
    while True:
        _some.wait()
        write_down()
        # A thread's connection is nobody's to close but its own.
        connection.close()
        time.sleep(SECONDS_BETWEEN_WRITES)
