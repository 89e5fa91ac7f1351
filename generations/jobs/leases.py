"""Leases: which worker holds which row, and until when. The lease of a dead worker runs out by itself.

Every worker claims its rows here. `lease` is the holder's proof: a write of its result is conditional on it, so a
worker that slept longer than its lease changes nothing. The database's clock decides, never a process's own.

A lease that was neither released nor renewed means that its worker died or raised. The next claim counts that in
`crashes`; a proper release sets it back to zero. After CRASHES_MAX in a row the row itself is taken to be the cause.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import DatabaseError, connection, transaction
from django.db.models import Case, F, PositiveIntegerField, Q, QuerySet, When
from django.db.models.functions import Now

from database.clock import from_now
from generations.jobs.leased_model import Leased

logger = logging.getLogger(__name__)
# The rows that this process holds, by lease and key, so that it can release them when it ends.
_held: dict[tuple[UUID, Any], Leased] = {}
Row = TypeVar("Row", bound=Leased)
CRASHES_MAX = 5


def lease_free() -> Q:
    """Return the condition that no worker holds the row."""
    return Q(leased_until=None) | Q(leased_until__lt=Now())


def unleased(due: QuerySet[Row]) -> QuerySet[Row]:
    """Return the rows of `due` that no worker holds."""
    return due.filter(lease_free())


def claim(
    due: QuerySet[Row], *, limit: int, seconds: float, order_by: Sequence[Any] = ("next_attempt_at", "pk")
) -> list[Row]:
    """Lease up to `limit` rows of `due` for `seconds`; by default those that have waited longest."""
    lease = uuid4()
    with transaction.atomic():
        candidates = unleased(due).order_by(*order_by)
        # SKIP LOCKED: a worker passes over the rows that another one is claiming instead of waiting for them.
        keys = list(candidates.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:limit])
        rows = due.model._default_manager.filter(pk__in=keys)
        crashes = F("crashes") + Case(When(lease=None, then=0), default=1, output_field=PositiveIntegerField())
        rows.update(lease=lease, leased_until=from_now(seconds), attempts=F("attempts") + 1, crashes=crashes)
    claimed = list(rows)
    _held.update({(lease, row.pk): row for row in claimed})
    return claimed


def has_crashed_too_often(row: Leased) -> bool:
    """Return whether CRASHES_MAX workers in a row died or raised while they held it."""
    return row.crashes >= CRASHES_MAX


def release(row: Leased, *, retry_in_seconds: float | None = None, crashes: int = 0) -> bool:
    """Release the row, and make it due in `retry_in_seconds`; None leaves its due time. False if the lease is lost."""
    changes = {} if retry_in_seconds is None else {"next_attempt_at": from_now(retry_in_seconds)}
    return _own(row).update(lease=None, leased_until=None, crashes=crashes, **changes) == 1


def forget(row: Leased) -> None:
    """Record that the work on the row is over, however it ended. `release_all` leaves the row alone."""
    if row.lease is not None:
        _held.pop((row.lease, row.pk), None)


def release_all() -> None:
    """Release every row that this process holds, so other workers take them at once.

    Called when the process ends. What its threads still write about these rows is refused.
    """
    for row in list(_held.values()):
        _own(row).update(lease=None, leased_until=None)


@contextmanager
def renewing(row: Leased, *, seconds: float) -> Iterator[None]:
    """Renew the lease from a thread while the block runs.

    So a lease can be short although the work is long, and the row of a killed worker is free within `seconds`.
    """
    done = threading.Event()
    thread = threading.Thread(target=_renew_until, args=(done, row, seconds), daemon=True, name="lease")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _renew_until(done: threading.Event, row: Leased, seconds: float) -> None:
    try:
        while not done.wait(seconds / 3):
            try:
                if not _own(row).update(leased_until=from_now(seconds)):
                    return  # The lease is lost; the result of the work will be refused.
            except DatabaseError:
                # Two more attempts follow before it runs out.
                logger.warning("a lease could not be renewed", extra={"row": str(row.pk)})
    finally:
        # The thread has a connection of its own.
        connection.close()


def _own(row: Leased) -> QuerySet[Leased]:
    """Return the row, as long as it still carries the lease that `row` was claimed with."""
    return type(row)._default_manager.filter(pk=row.pk, lease=row.lease)
