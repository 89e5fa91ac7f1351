"""Scenarios that were asked for from outside: queued for the next submits, or in force for all of them."""

from __future__ import annotations

import threading
from collections import deque

from simulator.scenarios import Plan, read


class Stage:
    """`script` for the next submits, `always` for each one until `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: deque[Plan] = deque()
        self._always = Plan()

    def script(self, *scenarios: str, times: int = 1) -> None:
        """These, together, for each of the next submits; a second call queues behind the first."""
        plan = read(" ".join(scenarios))
        with self._lock:
            self._next.extend([plan] * times)

    def always(self, *scenarios: str) -> None:
        plan = read(" ".join(scenarios))
        with self._lock:
            self._always = self._always + plan

    def clear(self) -> None:
        with self._lock:
            self._next.clear()
            self._always = Plan()

    def take(self) -> Plan:
        """What is in store for the submit that has just come."""
        with self._lock:
            scripted = self._next.popleft() if self._next else Plan()
            return scripted + self._always
