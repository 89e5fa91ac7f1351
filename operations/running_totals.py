"""Sums over a table whose rows are only ever added, without reading all rows each time.

The sums over rows older than SETTLED_AFTER are stored, with the id of the last row that they include. `advance` adds
the next rows to them; the loop of `manage.py work` calls it (`metric_sums`). A scrape reads the stored sums and adds up
the newer rows, so the first scrape of a process takes no longer than a later one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet

from database import clock
from operations.models import StoredSums

# Longer than any transaction lasts: below a settled id, no row can appear any more.
SETTLED_AFTER = timedelta(minutes=10)
# A row that has not reached its final state after this time never will, and the sums pass over it.
UNFINISHED_MAX = timedelta(hours=1)
# How many rows `advance` adds at once. So few are found by indexes, whatever the size of the tables.
SLICE_ROWS = 2000
# If more settled rows than these are not in the stored sums, no worker has run for a while, or Limn was just updated.
# Then a scrape calls `advance` first.
LAG_ROWS_MAX = 20_000

Key = tuple[Any, ...]


class NotReady(Exception):
    """Adding up old rows took longer than the deadline. The sums so far are stored, and the next call continues."""


@dataclass(frozen=True, kw_only=True)
class IncrementalSum:
    """Sums over a table in the order of its ascending ids."""

    name: str
    """The name of its stored sums."""
    rows: QuerySet[Any]
    time_field: str
    """The name of the field with the time at which a row was written."""
    add_up: Callable[[QuerySet[Any]], Counter[Key]]
    """Returns the sums over a part of `rows`."""
    unfinished: Q | None = None
    """The condition of rows that are not added up before they have changed. An index must find them."""

    def sums(self, *, deadline: float) -> Counter[Key]:
        """Return the sums over all rows. Raises NotReady when `deadline` passes, a time of `time.monotonic()`."""
        while self._lags((stored := self._stored()).last_id):
            if time.monotonic() > deadline:
                raise NotReady
            if not self.advance():
                # An unfinished row keeps the sums back.
                break
        recent = self.rows.filter(id__gt=stored.last_id)
        return _decode(stored.sums) + (self.add_up(recent) if recent.exists() else Counter())

    def advance(self) -> bool:
        """Add the next slice of settled rows to the stored sums. Returns whether there was one.

        Of several processes that add the same slice at once, one stores it.
        """
        stored, _ = StoredSums.objects.get_or_create(name=self.name)
        end = self._end_of_slice(stored)
        if end is None:
            return False
        slice_sums = self.add_up(self.rows.filter(id__gt=stored.last_id, id__lte=end))
        # Only if the sums are still those that were read: the slice is not in them.
        unchanged = StoredSums.objects.filter(name=self.name, last_id=stored.last_id)
        unchanged.update(last_id=end, sums=_encode(_decode(stored.sums) + slice_sums))
        return True

    def _stored(self) -> StoredSums:
        return StoredSums.objects.filter(name=self.name).first() or StoredSums(name=self.name)

    def _lags(self, last_id: int) -> bool:
        """Return whether more than LAG_ROWS_MAX rows follow this one, and a row after these is settled."""
        beyond = self.rows.filter(id__gt=last_id + LAG_ROWS_MAX).order_by("id")
        written_at = beyond.values_list(self.time_field, flat=True).first()
        return written_at is not None and written_at < clock.now() - SETTLED_AFTER

    def _end_of_slice(self, stored: StoredSums) -> int | None:
        """Return the last id of the next slice of settled rows; None if there is none."""
        new = self.rows.filter(id__gt=stored.last_id).order_by("id")
        first: int | None = new.values_list("id", flat=True).first()
        if first is None:
            return None
        end, now = first + SLICE_ROWS - 1, clock.now()
        # If a row far behind is settled, all of them are, also those that a wrong clock dated into the future.
        if not self._lags(first - 1):
            old = self.rows.filter(id__range=(first, end), **{f"{self.time_field}__lt": now - SETTLED_AFTER})
            end = old.order_by("-id").values_list("id", flat=True).first() or 0
        if end and self.unfinished is not None:
            waiting = self.rows.filter(self.unfinished, id__lte=end, **{f"{self.time_field}__gt": now - UNFINISHED_MAX})
            oldest: int | None = waiting.order_by("id").values_list("id", flat=True).first()
            end = end if oldest is None else oldest - 1
        return end if end >= first else None


def _encode(sums: Counter[Key]) -> list[list[Any]]:
    return [[*key, value] for key, value in sums.items()]


def _decode(stored: list[list[Any]]) -> Counter[Key]:
    return Counter({tuple(key): value for *key, value in stored})
