"""What every environment fault needs: the environment, the counters, chance, and the end of the load."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.gate import Gate
from quality.chaos.load_clients import LoadClient
from quality.chaos.losses import Losses

Faults = dict[str, Callable[[], object]]
"""Environment faults by their names. Each returns when it is repaired."""


@dataclass
class FaultContext:
    """Passed to each group of faults. All of them run in the thread of the fault injector."""

    environment: Environment
    counters: Counters
    rng: random.Random
    stop: threading.Event
    """Set at the end of the load. A fault in progress is repaired then."""
    fault_seconds: tuple[float, float]
    """The shortest and the longest duration of a fault."""
    clients: list[LoadClient]
    """Those of the installation under test. Their accounts can be locked and adjusted."""
    gate: Gate
    """Closed while the database is replaced."""
    losses: Losses
    forget_snapshots: Callable[[], None]
    """Called after a restore: the next snapshot is compared with nothing."""

    def draw_account(self) -> int:
        """Return the id of the account of any client."""
        return self.rng.choice(self.clients).account_id

    def wait(self) -> None:
        """Wait for the duration of one fault."""
        self.stop.wait(self.rng.uniform(*self.fault_seconds))
