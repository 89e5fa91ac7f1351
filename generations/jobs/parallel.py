"""Work on several rows at once: it mostly waits for the network."""

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
    """Handle every row, and how many there were. One that raises is logged; its lease runs out by itself.

    A row over which worker after worker died is not handled again: it is given up.
    """
    guarded = _guarded(handle, give_up)
    if len(rows) == 1:
        guarded(rows[0])
    elif rows:
        with ThreadPoolExecutor(max_workers=len(rows), thread_name_prefix="work") as pool:
            list(pool.map(_in_a_thread(guarded), rows))
    return len(rows)


def _guarded(handle: Callable[[Row], None], give_up: Callable[[Row], None]) -> Callable[[Row], None]:
    def guarded(row: Row) -> None:
        try:
            if leases.is_poison(row):
                logger.error("work is given up", extra={"row": str(row.pk), "crashes": row.crashes})
                give_up(row)
            else:
                handle(row)
        except Exception:
            # One row must not stop the others, whatever is wrong with it.
            logger.exception("work failed", extra={"row": str(row.pk), "attempts": row.attempts})
        finally:
            leases.forget(row)

    return guarded


def _in_a_thread(handle: Callable[[Row], None]) -> Callable[[Row], None]:
    def threaded(row: Row) -> None:
        try:
            handle(row)
        finally:
            connection.close()

    return threaded
