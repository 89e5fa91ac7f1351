"""Sums over a table whose rows are only ever added, without reading all of them each time."""

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

# No transaction lasts so long: up to there no row can appear any more.
SETTLED_AFTER = timedelta(minutes=10)
SLICE_ROWS = 20_000

Key = tuple[Any, ...]


class NotReady(Exception):
    """So many rows that counting them took too long. What is counted is kept; ask again."""


@dataclass
class IncrementalSum:
    """Sums over a table, by its ascending ids."""

    rows: QuerySet[Any]
    stamp: str
    """When a row was written."""
    add_up: Callable[[QuerySet[Any]], Counter[Key]]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _settled: Counter[Key] = field(default_factory=Counter)
    _upto: int = 0
    """The last id among what is settled."""

    def sums(self, *, by: float) -> Counter[Key]:
        """As they are now. Raises StillCounting when that is not done by this moment (of time.monotonic)."""
        with self._lock:
            last = self._last_settled()
            while self._upto < last:
                if time.monotonic() > by:
                    raise NotReady
                end = self._end_of_slice(last)
                self._settled.update(self.add_up(self.rows.filter(id__gt=self._upto, id__lte=end)))
                self._upto = end
            young = self.rows.filter(id__gt=self._upto)
            return self._settled + (self.add_up(young) if young.exists() else Counter())

    def _end_of_slice(self, last: int) -> int:
        ids = self.rows.filter(id__gt=self._upto, id__lte=last).order_by("id").values_list("id", flat=True)
        return next(iter(ids[SLICE_ROWS - 1 : SLICE_ROWS]), last)

    def _last_settled(self) -> int:
        # From the newest backwards, so that only the young ones are passed over.
        old = {f"{self.stamp}__lt": timezone.now() - SETTLED_AFTER}
        found: int | None = (
            self.rows.filter(id__gt=self._upto, **old).order_by("-id").values_list("id", flat=True).first()
        )
        return self._upto if found is None else found
