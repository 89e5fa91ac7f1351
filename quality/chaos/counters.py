"""What has happened so far: each fault's hits, and what must never happen."""

from __future__ import annotations

import threading
from collections import Counter

VIOLATIONS_KEPT = 200


class Tally:
    """Counted by all threads, read at the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hits: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []

    def hit(self, fault: str, times: int = 1) -> None:
        with self._lock:
            self.hits[fault] += times

    def count(self, what: str, times: int = 1) -> None:
        with self._lock:
            self.counts[what] += times

    def violated(self, rule: str, detail: str) -> None:
        """Each only once: a wrong row is found again by every look."""
        line = f"{rule}: {detail}"
        with self._lock:
            if line not in self.violations and len(self.violations) < VIOLATIONS_KEPT:
                self.violations.append(line)
                print(f"VIOLATION {line}", flush=True)
