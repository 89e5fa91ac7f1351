"""Leases: which worker holds which row, and until when. The lease of a dead worker runs out by itself.

Every worker claims its rows here. `lease` is the holder's proof: a write of its result is conditional on it, so a
worker that slept longer than its lease changes nothing. The database's clock decides, never a process's own.

A lease that was neither released nor renewed means that its worker died. The next claim counts that in `crashes`; a
proper release sets it back to zero. After CRASHES_MAX in a row the row itself is taken to be the cause. Nothing else
counts: a worker whose work raised returns the row, and a worker that lives takes the count back if it lost its lease to
an outage of the database, or because it slept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, PositiveIntegerField, Q, QuerySet, When
from django.db.models.functions import Now

from database.clock import from_now
from database.time_scale import scaled
from generations.jobs import backoff, statements
from generations.jobs.leased_model import Leased

logger = logging.getLogger(__name__)
_Name = tuple[type[Leased], UUID | None, Any]
# The rows that this process holds, so that it can release them when it ends.
_held: dict[_Name, Leased] = {}
# How often in a row this process has returned a row whose work raised.
_returns: dict[tuple[type[Leased], Any], int] = {}
Row = TypeVar("Row", bound=Leased)
CRASHES_MAX = 5
# How soon a row is returned whose work raised, and how often that is tried.
RETURN_SECONDS = 1.0
# A returned row is due after a pause that doubles each time.
FIRST_PAUSE_SECONDS = scaled(2)
LONGEST_PAUSE_SECONDS = scaled(300)
NO_CHANGES: Mapping[str, Any] = MappingProxyType({})


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
    return Claim(due, seconds=seconds, order_by=order_by).claim(limit=limit)


class Claim(Generic[Row]):
    """Claims rows as `claim` does. For a loop that claims often: the statement is compiled once.

    So `due` must take the time from the database.
    """

    def __init__(
        self,
        due: QuerySet[Row],
        *,
        seconds: float,
        order_by: Sequence[Any] = ("next_attempt_at", "pk"),
        record: str = "",
    ) -> None:
        """Prepare the claim. `record` is an INSERT about the claimed rows, as `statements.UpdateUnlocked` takes it."""
        self._candidates = unleased(due).order_by(*order_by)
        self._update = statements.UpdateUnlocked(
            self._candidates,
            new_uuid="lease",
            record=record,
            leased_until=from_now(seconds),
            attempts=F("attempts") + 1,
            crashes=F("crashes") + Case(When(lease=None, then=0), default=1, output_field=PositiveIntegerField()),
        )

    def claim(self, *, limit: int) -> list[Row]:
        """Lease up to `limit` rows."""
        if not connection.features.has_select_for_update_skip_locked and not self._candidates.exists():
            # SQLite would lock the database for an UPDATE of no row.
            return []
        claimed = self._update.execute(limit=limit)
        _held.update({_named(row): row for row in claimed})
        return claimed


def has_crashed_too_often(row: Leased) -> bool:
    """Return whether CRASHES_MAX workers in a row died or raised while they held it."""
    return row.crashes >= CRASHES_MAX


def release(
    row: Leased, *, retry_in_seconds: float | None = None, crashes: int = 0, changes: Mapping[str, Any] = NO_CHANGES
) -> bool:
    """Release the row, and make it due in `retry_in_seconds`; None leaves its due time. False if the lease is lost.

    Args:
        changes: New values of other columns.
    """
    _returns.pop((type(row), row.pk), None)
    due = {} if retry_in_seconds is None else {"next_attempt_at": from_now(retry_in_seconds)}
    return _still_held(row).update(lease=None, leased_until=None, crashes=crashes, **due, **changes) == 1


def forget(row: Leased) -> None:
    """Record that the work on the row is over, however it ended.

    `release_all` leaves the row alone, and its lease is no longer renewed.
    """
    _held.pop(_named(row), None)
    _renewer.remove(row)


def release_all() -> None:
    """Release every row that this process holds, so other workers take them at once.

    Called when the process ends. What its threads still write about these rows is refused.
    """
    for row in list(_held.values()):
        _still_held(row).update(lease=None, leased_until=None)


def return_later(row: Leased) -> None:
    """Return a row whose work has raised, as soon as the database permits, due after a pause. That is not a crash."""
    _renewer.return_later(row)


@contextmanager
def renewing(row: Leased, *, seconds: float) -> Iterator[None]:
    """Renew the lease while the block runs.

    So a lease can be short although the work is long, and the row of a killed worker is free within `seconds`.
    """
    renew_until_forgotten([row], seconds=seconds)
    try:
        yield
    finally:
        _renewer.remove(row)


def renew_until_forgotten(rows: Sequence[Leased], *, seconds: float) -> None:
    """Renew the leases of `rows` every third of `seconds`, until `forget` is called for each."""
    _renewer.add(rows, seconds)


class _Renewer:
    """The thread of this process that renews leases and returns rows. It runs while there are any."""

    def __init__(self) -> None:
        self._rows: dict[_Name, tuple[Leased, float]] = {}
        """The rows, and for how many seconds each lease is renewed."""
        self._returned: dict[_Name, Leased] = {}
        self._due: dict[_Name, float] = {}
        self._wakes_at = 0.0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, rows: Sequence[Leased], seconds: float) -> None:
        with self._changed:
            self._rows.update({_named(row): (row, seconds) for row in rows})
            self._schedule(rows, in_seconds=seconds / 3)

    def remove(self, row: Leased) -> None:
        with self._changed:
            # The thread finds out when it wakes up: most work ends before the first renewal.
            self._rows.pop(_named(row), None)
            if _named(row) not in self._returned:
                self._due.pop(_named(row), None)

    def return_later(self, row: Leased) -> None:
        with self._changed:
            self._rows.pop(_named(row), None)
            self._returned[_named(row)] = row
            self._schedule([row], in_seconds=RETURN_SECONDS)

    def _schedule(self, rows: Sequence[Leased], *, in_seconds: float) -> None:
        due = monotonic() + in_seconds
        self._due.update(dict.fromkeys(map(_named, rows), due))
        # A process that was forked has no thread. The thread of a process sleeps until the first row is due.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, daemon=True, name="lease")
            self._thread.start()
        elif due < self._wakes_at:
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (first := min(self._due.values(), default=0.0)) > monotonic():
                    self._wakes_at = first
                    self._changed.wait(first - monotonic())
                if not self._due:
                    self._thread = None
                    return
                # All of them: those that are not due yet cost nothing in the same statement.
                rows, returned = list(self._rows.values()), list(self._returned.values())
                self._due = {_named(row): monotonic() + seconds / 3 for row, seconds in rows}
                self._due.update(dict.fromkeys(map(_named, returned), monotonic() + RETURN_SECONDS))
            try:
                for row in [*returned, *self._renew(rows)]:
                    self._return(row)
            finally:
                # The thread has a connection of its own.
                connection.close()

    def _renew(self, rows: Sequence[tuple[Leased, float]]) -> list[Leased]:
        """Renew the leases, and return the rows whose lease is lost."""
        lost: list[Leased] = []
        groups: dict[tuple[type[Leased], float], list[Leased]] = {}
        for row, seconds in rows:
            groups.setdefault((type(row), seconds), []).append(row)
        for (model, seconds), group in groups.items():
            any_of_group = Q(*(Q(pk=row.pk, lease=row.lease) for row in group), _connector=Q.OR)
            held = model._default_manager.filter(any_of_group)
            try:
                # A row that another transaction has locked is left for the next time. Waiting for it while others are
                # locked here could be a deadlock.
                renewed = statements.update_unlocked(held, leased_until=from_now(seconds))
                if len(renewed) < len(group):
                    still_held = {_named(row) for row in held}
                    # The result of the work will be refused. But this process lives.
                    lost += [row for row in group if _named(row) not in still_held]
            except Exception:
                # Two more attempts follow before they run out. The thread must go on for the other rows.
                rows_named = " ".join(str(row.pk) for row in group)
                logger.warning("leases could not be renewed", extra={"rows": rows_named}, exc_info=True)
        return lost

    def _return(self, row: Leased) -> None:
        times = _returns.get((type(row), row.pk), 0) + 1
        pause = backoff.seconds(times, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
        try:
            # A row that the work has ended is not due any more.
            due_at = Case(When(next_attempt_at=None, then=None), default=from_now(pause))
            if release(row, crashes=row.crashes, changes={"next_attempt_at": due_at}):
                _returns[type(row), row.pk] = times
            else:
                # Another worker has claimed it since, and counted a crash.
                counted = type(row)._default_manager.filter(pk=row.pk, crashes__gt=row.crashes)
                counted.update(crashes=F("crashes") - 1)
        except Exception:
            logger.warning("a row could not be returned", extra={"row": str(row.pk)}, exc_info=True)
            self.return_later(row)
            return
        with self._changed:
            self._rows.pop(_named(row), None)
            self._returned.pop(_named(row), None)
            self._due.pop(_named(row), None)


_renewer = _Renewer()


def _named(row: Leased) -> _Name:
    """Return the name of a lease of a row. A row that was claimed again has another one."""
    return type(row), row.lease, row.pk


def _still_held(row: Leased) -> QuerySet[Leased]:
    """Return the row, as long as it still carries the lease that `row` was claimed with."""
    return type(row)._default_manager.filter(pk=row.pk, lease=row.lease)
