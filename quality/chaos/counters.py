"""Counts what happens in a run: injected faults, other events, and violated invariants.

Every thread of a run writes to the same `Counters`; the report and the exit code are made from it.
"""

from __future__ import annotations

import threading
from collections import Counter

VIOLATIONS_MAX = 200


class Counters:
    """Thread-safe counters of one run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.faults: Counter[str] = Counter()
        """How often each kind of fault took effect."""
        self.events: Counter[str] = Counter()
        self.violations: list[str] = []

    def count_fault(self, kind: str, times: int = 1) -> None:
        with self._lock:
            self.faults[kind] += times

    def count_event(self, name: str, times: int = 1) -> None:
        with self._lock:
            self.events[name] += times

    def add_violation(self, rule: str, detail: str) -> None:
        """Record a violated rule and print it at once. `rule` is a case id such as I9 (docs/failure-modes.md)."""
        line = f"{rule}: {detail}"
        with self._lock:
            # Each snapshot finds a wrong row again: the same line is kept once.
            if line not in self.violations and len(self.violations) < VIOLATIONS_MAX:
                self.violations.append(line)
                print(f"VIOLATION {line}", flush=True)
