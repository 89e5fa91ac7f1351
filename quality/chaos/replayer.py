"""Sends callbacks of finished jobs again, until the end of the run.

Most repeat what fal said before; some contradict it. Late duplicates are needed: with every guard against duplicates
removed, no other fault made the run fail.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

import requests

from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.gate import Gate
from quality.chaos.load_clients import LoadClient

PAUSE_SECONDS = 0.25
# One replay of this number contradicts the first callback.
CONTRADICTION_INTERVAL = 4


@dataclass
class CallbackReplayer:
    """Replays callbacks in one thread."""

    environment: Environment
    clients: list[LoadClient]
    counters: Counters
    rng: random.Random
    stop: threading.Event
    gate: Gate

    def run(self) -> None:
        while not self.stop.wait(PAUSE_SECONDS):
            with self.gate.step():
                self._replay_one()

    def _replay_one(self) -> None:
        # Only jobs whose end a client has seen: what comes from here on must change nothing.
        request_ids = list(self.rng.choice(self.clients).known.finished_request_ids.values())
        if not request_ids:
            return
        contradicts = self.rng.randrange(CONTRADICTION_INTERVAL) == 0
        kind = "contradiction" if contradicts else "true"
        try:
            self.environment.control_simulator("call_again", request_id=self.rng.choice(request_ids), kind=kind)
        except requests.RequestException:
            # No fault stops the simulator, but on a busy machine its answer may come too late.
            self.counters.count_event("late duplicate not sent")
        else:
            self.counters.count_fault("late contradiction" if contradicts else "late duplicate")
