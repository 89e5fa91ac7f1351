"""Sums over a table whose rows are only ever added, without reading all rows each time.

The metrics use one `IncrementalSum` for each such table. Rows older than SETTLED_AFTER are added up once and remembered
by the process; the newer ones are added up again at each call.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

# Longer than any transaction lasts: below a settled id, no row can appear any more.
SETTLED_AFTER = timedelta(minutes=10)
# The deadline is checked after each slice of this many rows.
SLICE_ROWS = 20_000

Key = tuple[Any, ...]


class NotReady(Exception):
    """Adding up took longer than the deadline. The sums so far are kept, and the next call continues."""


@dataclass
class IncrementalSum:
    """Sums over a table in the order of its ascending ids. Safe to use from several threads."""

    rows: QuerySet[Any]
    time_field: str
    """The name of the field with the time at which a row was written."""
    add_up: Callable[[QuerySet[Any]], Counter[Key]]
    """Returns the sums over a part of `rows`."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _settled: Counter[Key] = field(default_factory=Counter)
    _settled_id: int = 0
    """The last id that `_settled` includes."""

    def sums(self, *, deadline: float) -> Counter[Key]:
        """Return the sums over all rows. Raises NotReady when `deadline` passes, a time of `time.monotonic()`."""
        with self._lock:
            unsettled = self.rows.filter(id__gt=self._settled_id).order_by()
            old = unsettled.filter(**{f"{self.time_field}__lt": timezone.now() - SETTLED_AFTER})
            # From the newest id downwards, the database passes over the recent rows only.
            last: int = old.order_by("-id").values_list("id", flat=True).first() or 0
            while self._settled_id < last:
                if time.monotonic() > deadline:
                    raise NotReady
                rows = self.rows.filter(id__gt=self._settled_id, id__lte=last)
                ids = rows.order_by("id").values_list("id", flat=True)
                # The last id of the next slice; of the last, incomplete slice it is `last`.
                end = next(iter(ids[SLICE_ROWS - 1 : SLICE_ROWS]), last)
                self._settled.update(self.add_up(rows.filter(id__lte=end)))
                self._settled_id = end
            recent = self.rows.filter(id__gt=self._settled_id)
            return self._settled + (self.add_up(recent) if recent.exists() else Counter())
