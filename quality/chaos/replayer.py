"""Late duplicates: callbacks of jobs that ended long ago, sent again until the end of the run.

Finding 9 of failure-modes.md: with every guard against doubles removed, only these showed it.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

import requests

from quality.chaos.counters import Tally
from quality.chaos.environment import Town
from quality.chaos.load_clients import Customer

PAUSE_SECONDS = 0.25
# One of so many contradicts what was said before.
CONTRADICTS = 4


@dataclass
class Postman:
    """One thread."""

    town: Town
    customers: list[Customer]
    tally: Tally
    chance: random.Random
    stop: threading.Event

    def run(self) -> None:
        while not self.stop.wait(PAUSE_SECONDS):
            customer = self.chance.choice(self.customers)
            if customer.requests_at_fal:
                self._send(self.chance.choice(customer.requests_at_fal))

    def _send(self, request_id: str) -> None:
        contradicts = self.chance.randrange(CONTRADICTS) == 0
        kind = "contradiction" if contradicts else "true"
        try:
            self.town.order_fal("call_again", request_id=request_id, kind=kind)
        except requests.RequestException:
            self.tally.count("late duplicate not sent")
            return
        self.tally.hit("late contradiction" if contradicts else "late duplicate")
