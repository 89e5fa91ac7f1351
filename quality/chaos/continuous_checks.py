"""Checks the database on snapshots during the whole run.

Each snapshot checks the invariants that hold at every moment, and that finished generations (I7) and ledger entries
(I9) are as they were in the snapshot before.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connection
from django.db.models import Case, F, When
from psycopg_pool import PoolTimeout

from credits.models import Entry
from generations.models import Generation, Phase
from operations import invariants
from quality.chaos.counters import Counters
from quality.chaos.gate import Gate

ENTRY_COLUMNS = ("account_id", "kind", "balance_change", "held_change", "counter_side", "hold_id", "key")
FINAL_COLUMNS = ("status", "final_version", "credits", "captured", "released", "failure_code", "finished_at")
Rows = dict[Any, tuple[Any, ...]]


@dataclass
class ContinuousChecks:
    """Takes snapshots in one thread. An unavailable database is not a violation; the next snapshot is compared."""

    counters: Counters
    stop: threading.Event
    pause_seconds: float
    gate: Gate
    finished: Rows = field(default_factory=dict)
    entries: Rows = field(default_factory=dict)

    def run(self) -> None:
        while not self.stop.wait(self.pause_seconds):
            with self.gate.step():
                self.check()
        connection.close()

    def check(self) -> None:
        """Take one snapshot and record what it violates."""
        # One snapshot for everything: rows that are written meanwhile must not look like a violation.
        try:
            with invariants.snapshot():
                findings = invariants.always()
                # Only an erasure may follow the end. It raises the version by one.
                final_version = F("version") - Case(When(erased_at=None, then=0), default=1)
                done = Generation.objects.filter(phase=Phase.DONE).annotate(final_version=final_version)
                finished = _rows(done, FINAL_COLUMNS)
                entries = _rows(Entry.objects.all(), ENTRY_COLUMNS)
        except (DatabaseError, PoolTimeout):
            # The database is unavailable. The next snapshot begins with a new connection.
            connection.close()
            self.counters.count_event("snapshots missed")
            return
        for finding in findings:
            self.counters.add_violation(finding.rule, f"{finding.subject} {finding.detail}")
        self._compare("I7", self.finished, finished)
        self._compare("I9", self.entries, entries)
        self.finished, self.entries = finished, entries
        self.counters.count_event("snapshots")

    def forget(self) -> None:
        """Compare the next snapshot with nothing, since the database has been replaced."""
        self.finished, self.entries = {}, {}

    def _compare(self, rule: str, before: Rows, now: Rows) -> None:
        for key in before.keys() - now.keys():
            self.counters.add_violation(rule, f"{key} has vanished")
        for key in before.keys() & now.keys():
            if before[key] != now[key]:
                self.counters.add_violation(rule, f"{key} was {before[key]} and is {now[key]}")


def _rows(rows: Any, columns: tuple[str, ...]) -> Rows:
    return {key: tuple(values) for key, *values in rows.values_list("pk", *columns)}
