"""Handles several claimed rows at the same time, each in a thread. The work mostly waits for the network.

Every worker passes its claimed rows to `run`. An exception in one row never stops the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

from generations.jobs import leases
from generations.jobs.leased_model import Leased

logger = logging.getLogger(__name__)
Row = TypeVar("Row", bound=Leased)


def run(rows: Sequence[Row], handle: Callable[[Row], None], *, give_up: Callable[[Row], None]) -> int:
    """Call `handle` for each claimed row, and return how many there were.

    A row whose handler raises is logged, and its lease runs out by itself. A row that CRASHES_MAX workers in a row
    failed to handle is passed to `give_up` instead.
    """

    def guarded(row: Row) -> None:
        named = {"table": row._meta.db_table, "row": str(row.pk), "attempts": row.attempts, "crashes": row.crashes}
        try:
            if leases.has_crashed_too_often(row):
                logger.error("a row is given up", extra=named)
                give_up(row)
            else:
                handle(row)
        except Exception:
            # One row must not stop the others, whatever is wrong with it.
            logger.exception("a row could not be handled", extra=named)
        finally:
            leases.forget(row)

    def threaded(row: Row) -> None:
        try:
            guarded(row)
        finally:
            # Each thread has a connection of its own.
            connection.close()

    if len(rows) == 1:
        guarded(rows[0])
    elif rows:
        with ThreadPoolExecutor(max_workers=len(rows), thread_name_prefix="work") as pool:
            list(pool.map(threaded, rows))
    return len(rows)
