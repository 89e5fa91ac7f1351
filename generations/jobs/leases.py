"""Who works on which row, and for how long. A dead worker's lease simply runs out.

`lease` is the owner's proof: who writes the result of the work names it, so an owner who slept through his
lease is refused. The database's clock decides, not a worker's.

A lease that ran out means that its worker died or raised. Whoever claims the row next counts that in `crashes`, and
whoever releases it properly begins anew: five in a row, and it is the row that kills its workers.
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
# What this process has in hand, by lease and key, so that a process that ends can give it back.
_in_hand: dict[tuple[UUID, Any], Leased] = {}
Row = TypeVar("Row", bound=Leased)
CRASHES_MAX = 5


def unleased(due: QuerySet[Row]) -> QuerySet[Row]:
    """Those that nobody has in hand."""
    return due.filter(Q(leased_until=None) | Q(leased_until__lt=Now()))


def claim(
    due: QuerySet[Row], *, limit: int, seconds: float, order_by: Sequence[Any] = ("next_attempt_at", "pk")
) -> list[Row]:
    """Lease up to `limit` of the due rows for so many seconds, the longest waiting first."""
    lease = uuid4()
    with transaction.atomic():
        in_turn = unleased(due).order_by(*order_by)
        # Several workers pass each other here instead of queueing up behind one row.
        keys = list(in_turn.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:limit])
        rows = due.model._default_manager.filter(pk__in=keys)
        crashes = F("crashes") + Case(When(lease=None, then=0), default=1, output_field=PositiveIntegerField())
        rows.update(lease=lease, leased_until=from_now(seconds), attempts=F("attempts") + 1, crashes=crashes)
    claimed = list(rows)
    _in_hand.update({(lease, row.pk): row for row in claimed})
    return claimed


def is_poison(row: Leased) -> bool:
    """Whether one worker after the other died or raised over it."""
    return row.crashes >= CRASHES_MAX


def release(row: Leased, *, retry_in_seconds: float | None = None, crashes: int = 0) -> bool:
    """Give the row back; due as it was, or so many seconds from now. False when it is somebody else's by now."""
    mine = type(row)._default_manager.filter(pk=row.pk, lease=row.lease)
    changes = {} if retry_in_seconds is None else {"next_attempt_at": from_now(retry_in_seconds)}
    return mine.update(lease=None, leased_until=None, crashes=crashes, **changes) == 1


def forget(row: Leased) -> None:
    """The work on the row is over, however it ended."""
    if row.lease is not None:
        _in_hand.pop((row.lease, row.pk), None)


def release_all() -> None:
    """Free everything this process still has in hand. Whatever it writes about it from now on is refused."""
    for row in list(_in_hand.values()):
        mine = type(row)._default_manager.filter(pk=row.pk, lease=row.lease)
        mine.update(lease=None, leased_until=None)


@contextmanager
def renewing(row: Leased, *, seconds: float) -> Iterator[None]:
    """Renew the lease while the work goes on. So it can be short, and a killed worker's row is free in seconds."""
    done = threading.Event()
    keeper = threading.Thread(target=_renew, args=(row, seconds, done), daemon=True, name="lease")
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def _renew(row: Leased, seconds: float, done: threading.Event) -> None:
    try:
        while not done.wait(seconds / 3):
            if not _extend(row, seconds):
                return
    finally:
        connection.close()


def _extend(row: Leased, seconds: float) -> bool:
    mine = type(row)._default_manager.filter(pk=row.pk, lease=row.lease)
    try:
        return mine.update(leased_until=from_now(seconds)) == 1
    except DatabaseError:
        # Two more tries before it lapses; and if it does, the fence refuses our result.
        logger.warning("a lease could not be renewed", extra={"row": str(row.pk)})
        return True
