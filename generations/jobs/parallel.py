"""Handles several claimed rows at the same time, each in a thread. The work mostly waits for the network.

A worker passes its claimed rows to `run`, which waits for all of them, or to a `Pool`, which does not. An exception in
one row never stops the others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from django.db import connection

from generations.jobs import leases
from generations.jobs.leased_model import Leased

logger = logging.getLogger(__name__)
Row = TypeVar("Row", bound=Leased)


def run(
    rows: Sequence[Row], handle: Callable[[Row], None], *, give_up: Callable[[Row], None], lease_seconds: float
) -> int:
    """Call `handle` for each claimed row, and return how many there were.

    A row whose handler raises is logged and returned, due after a pause that grows. Only the death of a worker counts
    against a row: one that CRASHES_MAX workers in a row did not survive is passed to `give_up` instead.

    Args:
        lease_seconds: The leases of the rows are renewed for this long until they are handled.
    """
    if rows:
        leases.renew_until_forgotten(rows, seconds=lease_seconds)

    def threaded(row: Row) -> None:
        try:
            _handle(row, handle, give_up)
        finally:
            # Each thread has a connection of its own.
            connection.close()

    if len(rows) == 1:
        _handle(rows[0], handle, give_up)
    elif rows:
        with ThreadPoolExecutor(max_workers=len(rows), thread_name_prefix="work") as pool:
            list(pool.map(threaded, rows))
    return len(rows)


class Pool(Generic[Row]):
    """Threads of this process that handle claimed rows, so that a row with much work delays no other.

    Args:
        threads: How many rows are handled at the same time. The threads start when they are needed.
        lease_seconds: The leases of the rows are renewed for this long until they are handled.
    """

    def __init__(
        self, threads: int, handle: Callable[[Row], None], *, give_up: Callable[[Row], None], lease_seconds: float
    ) -> None:
        self._threads = threads
        self._handle, self._give_up, self._lease_seconds = handle, give_up, lease_seconds
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="work")
        self._busy = 0
        self._changed = threading.Condition()

    def wait_for_free(self, *, seconds: float) -> int:
        """Wait until a thread has nothing to do. Returns how many have nothing to do; 0 after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._threads, timeout=seconds)
            return max(0, self._threads - self._busy)

    def start(self, rows: Sequence[Row]) -> list[Future[None]]:
        """Pass the rows to the threads. More rows than threads wait, and their leases are renewed meanwhile."""
        if rows:
            leases.renew_until_forgotten(rows, seconds=self._lease_seconds)
        with self._changed:
            self._busy += len(rows)
        return [self._executor.submit(self._run, row) for row in rows]

    def run(self, rows: Sequence[Row]) -> int:
        """Handle the rows, and wait for all of them. A single one is handled by the calling thread."""
        if len(rows) == 1:
            leases.renew_until_forgotten(rows, seconds=self._lease_seconds)
            _handle(rows[0], self._handle, self._give_up)
        else:
            wait(self.start(rows))
        return len(rows)

    def _run(self, row: Row) -> None:
        try:
            _handle(row, self._handle, self._give_up)
        finally:
            # Each thread has a connection of its own. On SQLite it keeps it; on PostgreSQL it goes back to the pool.
            connection.close_if_unusable_or_obsolete()
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()


def _handle(row: Row, handle: Callable[[Row], None], give_up: Callable[[Row], None]) -> None:
    named = {"table": row._meta.db_table, "row": str(row.pk), "attempts": row.attempts, "crashes": row.crashes}
    try:
        if leases.has_crashed_too_often(row):
            logger.error("a row is given up", extra=named)
            give_up(row)
        else:
            handle(row)
    except Exception:
        # One row must not stop the others, whatever is wrong with it. This worker lives, so it is no crash.
        logger.exception("a row could not be handled", extra=named)
        leases.return_later(row)
    finally:
        leases.forget(row)
