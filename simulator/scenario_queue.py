"""Scenarios requested through the control API or by a test, to apply to later submissions.

`script` queues scenarios for the next submissions; `always` applies them to every submission until `clear`. The submit
API calls `pop` once per submission. Scenarios written into a prompt do not pass through here.
"""

from __future__ import annotations

import threading
from collections import deque

from simulator.scenarios import Plan, parse


class ScenarioQueue:
    """Thread-safe queue of plans, and one plan that always applies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: deque[Plan] = deque()
        self._always = Plan()

    def script(self, *scenarios: str, times: int = 1) -> None:
        """Apply these scenarios together to each of the next `times` submissions, after those queued before."""
        plan = parse(" ".join(scenarios))
        with self._lock:
            self._next.extend([plan] * times)

    def always(self, *scenarios: str) -> None:
        """Apply these scenarios to every submission, in addition to earlier calls."""
        plan = parse(" ".join(scenarios))
        with self._lock:
            self._always = self._always + plan

    def clear(self) -> None:
        """Remove all scenarios."""
        with self._lock:
            self._next.clear()
            self._always = Plan()

    def pop(self) -> Plan:
        """Return the plan for the submission that has just arrived, and remove its scripted part."""
        with self._lock:
            scripted = self._next.popleft() if self._next else Plan()
            return scripted + self._always
