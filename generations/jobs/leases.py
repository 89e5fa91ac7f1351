"""Leases: which worker holds which row, and until when. The lease of a dead worker runs out by itself.

Every worker claims its rows here. `lease` is the holder's proof: a write of its result is conditional on it, so a
worker that slept longer than its lease changes nothing. The database's clock decides, never a process's own.

A lease that was neither released nor renewed means that its worker died. The next claim counts that in `crashes`; a
proper release sets it back to zero. After CRASHES_MAX in a row the row itself is taken to be the cause. Nothing else
counts: a worker whose work raised returns the row, a worker that lives takes the count back if it lost its lease to an
outage of the database, or because it slept, and a process that ends releases what it holds. If the answer to a claim is
lost, its rows are released by the next claim of the same kind.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

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
# The claims that are being executed, by their new lease. The process waits for them when it ends.
_claiming: set[UUID] = set()
# Claims whose answer was lost, by their lease, with the rows that they may have leased.
_unanswered: dict[UUID, QuerySet[Any]] = {}
# Set when the process ends. From then on nothing is claimed.
_ended = threading.Event()
# How often in a row this process has returned a row whose work raised.
_returns: dict[tuple[type[Leased], Any], int] = {}
Row = TypeVar("Row", bound=Leased)
CRASHES_MAX = 5
# How soon a row is returned whose work raised, and how often that is tried.
RETURN_SECONDS = 1.0
# How long a process that ends tries to release its rows, and how often. Nothing but a lock or an outage takes as long.
END_SECONDS_MAX = 5.0
RELEASED_EVERY_SECONDS = 0.1
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
        self._due = due
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
        _release_unanswered(self._due.model)
        if not connection.features.has_select_for_update_skip_locked and not self._candidates.exists():
            # SQLite would lock the database for an UPDATE of no row.
            return []
        lease = uuid4()
        _claiming.add(lease)
        try:
            # Asked after the claim is on record, and set before `release_all` looks for claims.
            if _ended.is_set():
                return []
            claimed = self._update.execute(limit=limit, new_uuid=lease)
            _held.update({_named(row): row for row in claimed})
        except Exception:
            # If the connection was lost after the commit, the rows are leased, and no worker knows of it.
            _unanswered[lease] = self._due
            raise
        finally:
            _claiming.discard(lease)
        return claimed


def has_crashed_too_often(row: Leased) -> bool:
    """Return whether CRASHES_MAX workers in a row died while they held it."""
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

    Its lease is no longer renewed, and `release_all` leaves the row alone, unless `return_later` has yet to return it.
    """
    _held.pop(_named(row), None)
    _renewer.remove(row)


def stop_claiming() -> None:
    """Claim nothing more in this process. Called before `release_all`."""
    _ended.set()


def release_all(*, within_seconds: float = END_SECONDS_MAX) -> bool:
    """Release every row that this process holds, so other workers take them at once, and none counts as a crash.

    Called when the process ends. What its threads still write about these rows is refused. It never raises: a row that
    another transaction has locked delays no other row, and is tried again until the time is over.

    Returns:
        Whether all are released.
    """
    deadline = monotonic() + within_seconds
    while not _release_held():
        if monotonic() > deadline:
            left = " ".join(str(row.pk) for row in _all_held().values())
            logger.error("leases could not be released", extra={"rows": left})
            return False
        sleep(RELEASED_EVERY_SECONDS)
    return True


def _release_held() -> bool:
    """Release the rows that no other transaction has locked. Returns whether no row is left."""
    is_being_claimed = bool(_claiming)
    try:
        for model in {due.model for due in _unanswered.values()}:
            _release_unanswered(model)
        for rows in _by_model(_all_held()):
            held = _any_of(rows)
            released = {row.pk for row in statements.update_unlocked(held, lease=None, leased_until=None)}
            locked = {_named(row) for row in held} if len(released) < len(rows) else set()
            for name, row in rows.items():
                if name in locked:
                    continue
                if row.pk not in released:
                    _take_crash_back(row)
                _held.pop(name, None)
                _renewer.drop(name)
    except Exception:
        logger.warning("leases could not be released yet", exc_info=True)
        # The next attempt needs a connection that works.
        connection.close()
        return False
    return not (is_being_claimed or _unanswered or _all_held())


def _release_unanswered(model: type[Leased]) -> None:
    """Release the rows that claims have leased whose answer was lost. No worker has them, and their lease is known.

    The claim has not changed whether they are due, so the index that found them finds them again.
    """
    for lease, due in [(lease, due) for lease, due in list(_unanswered.items()) if due.model is model]:
        due.filter(lease=lease).order_by().update(lease=None, leased_until=None)
        _unanswered.pop(lease, None)


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

    def returned(self) -> dict[_Name, Leased]:
        """Return the rows that are still to be returned."""
        with self._changed:
            return dict(self._returned)

    def drop(self, name: _Name) -> None:
        """Neither renew nor return the row: it is released."""
        with self._changed:
            for rows in (self._rows, self._returned, self._due):
                rows.pop(name, None)

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
        for (_, seconds), group in groups.items():
            held = _any_of(map(_named, group))
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
                _take_crash_back(row)
        except Exception:
            logger.warning("a row could not be returned", extra={"row": str(row.pk)}, exc_info=True)
            self.return_later(row)
            return
        self.drop(_named(row))


_renewer = _Renewer()


def _named(row: Leased) -> _Name:
    """Return the name of a lease of a row. A row that was claimed again has another one."""
    return type(row), row.lease, row.pk


def _still_held(row: Leased) -> QuerySet[Leased]:
    """Return the row, as long as it still carries the lease that `row` was claimed with."""
    return type(row)._default_manager.filter(pk=row.pk, lease=row.lease)


def _all_held() -> dict[_Name, Leased]:
    """Return the rows that this process holds, also those that wait to be returned."""
    return {**_held, **_renewer.returned()}


def _by_model(rows: Mapping[_Name, Leased]) -> list[dict[_Name, Leased]]:
    groups: dict[type[Leased], dict[_Name, Leased]] = {}
    for name, row in rows.items():
        groups.setdefault(type(row), {})[name] = row
    return list(groups.values())


def _any_of(names: Iterable[_Name]) -> QuerySet[Leased]:
    """Return the rows of `names`, all of one model, that still carry the lease they were claimed with."""
    names = list(names)
    model = names[0][0]
    return model._default_manager.filter(Q(*(Q(pk=pk, lease=lease) for _, lease, pk in names), _connector=Q.OR))


def _take_crash_back(row: Leased) -> None:
    """Correct the count of a row whose lease has run out although this process lives: another worker has claimed it."""
    counted = type(row)._default_manager.filter(pk=row.pk, crashes__gt=row.crashes)
    counted.update(crashes=F("crashes") - 1)
