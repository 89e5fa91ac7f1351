"""Looks at the database all the time, on snapshots: what must always hold, and what must never change again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connection
from psycopg_pool import PoolTimeout

from credits.models import Entry
from generations import invariants
from generations.models import Generation, Phase
from quality.chaos.counters import Tally

ENTRY_COLUMNS = ("account_id", "kind", "balance_change", "held_change", "counter_side", "hold_id", "key")
END_COLUMNS = ("status", "version", "credits", "captured", "released", "failure_code", "finished_at")


@dataclass
class Watcher:
    """One thread. A database that is away is no finding; what it says when it is back must fit what it said before."""

    tally: Tally
    stop: threading.Event
    pause_seconds: float
    ends: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    entries: dict[Any, tuple[Any, ...]] = field(default_factory=dict)

    def run(self) -> None:
        while not self.stop.wait(self.pause_seconds):
            self.look()
        connection.close()

    def look(self) -> bool:
        """One sample. False when the database was away."""
        try:
            with invariants.snapshot():
                findings = invariants.always()
                ends = _rows(Generation.objects.filter(phase=Phase.DONE), END_COLUMNS)
                entries = _rows(Entry.objects.all(), ENTRY_COLUMNS)
        except (DatabaseError, PoolTimeout):
            connection.close()
            self.tally.count("samples missed")
            return False
        for finding in findings:
            self.tally.violated(finding.rule, f"{finding.subject} {finding.detail}")
        self.ends = self._unchanged("I7", self.ends, ends)
        self.entries = self._unchanged("I9", self.entries, entries)
        self.tally.count("samples")
        return True

    def _unchanged(self, rule: str, before: dict[Any, Any], now: dict[Any, Any]) -> dict[Any, Any]:
        for key in before.keys() - now.keys():
            self.tally.violated(rule, f"{key} has vanished")
        for key in before.keys() & now.keys():
            if before[key] != now[key]:
                self.tally.violated(rule, f"{key} was {before[key]} and is {now[key]}")
        return now


def _rows(rows: Any, columns: tuple[str, ...]) -> dict[Any, tuple[Any, ...]]:
    return {key: tuple(values) for key, *values in rows.values_list("pk", *columns)}
