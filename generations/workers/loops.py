"""The loops of `manage.py work`: one thread for each worker, so that slow copies never delay submissions.

A loop calls its worker when a wake-up comes (`workers.tasks`), when a row is due, and after a pause of seconds even
without either, for work that no row shows. One statement a second finds the due rows of all workers, and one every few
seconds records the heartbeats of all loops. A lost wake-up therefore costs a second.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from django.db import DatabaseError, connection
from django.db.models import QuerySet

from database import clock
from generations.workers import heartbeats, tasks
from generations.workers.statements import DueNames

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
# For workers whose rows are watched. Their loops need no pause; it is for an error in what is watched.
IDLE_SECONDS = 30.0
# After an exception, also if wake-ups come: what raised it will probably raise it again.
RETRY_SECONDS = 1.0
# The work mostly waits for the network. More rows at once would only compete for the same disk and line.
ROWS_AT_ONCE = 8
# The heartbeat of the process itself.
PROCESS = "worker"
_skew = clock.SkewLog()


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker, and when its loop calls it."""

    name: str
    """Also the name of its heartbeat and of its wake-up."""
    run_once: Callable[..., int]
    """Handles up to `limit` rows, and returns how many."""
    due: Callable[[], QuerySet[Any]] | None = None
    """The query of its due rows, with the time of the database. The worker is called while it finds a row."""
    rows: int = ROWS_AT_ONCE
    idle_seconds: float = IDLE_SECONDS
    """The longest pause between two calls."""
    busy_seconds: float = 0.0
    """The pause after a call that found rows. Without one, the worker is called again at once after a full batch."""


class Loop:
    """Calls one worker until `stopped` is set."""

    def __init__(self, worker: Worker, stopped: threading.Event) -> None:
        self.worker = worker
        self.woken = threading.Event()
        self.is_idle = False
        """Whether it waits to be woken."""
        self._stopped = stopped
        self._came_round = False

    def run(self) -> None:
        """Call the worker again and again. Runs in a thread of its own."""
        try:
            while not self._stopped.is_set():
                # Before the call: a wake-up during the call may be about a row that the call has not seen.
                self.woken.clear()
                self._pause_after(self._call())
        finally:
            connection.close()

    def is_alive(self) -> bool:
        """Return whether the loop waits for work, or has completed a call since this was asked last."""
        came_round, self._came_round = self._came_round, False
        return came_round or self.is_idle

    def _call(self) -> int | None:
        """Return how many rows the worker handled; None if it raised, or must not work because its clock is wrong."""
        try:
            if clock.is_wrong():
                _skew.report()
                return None
            handled = self.worker.run_once(limit=self.worker.rows)
        except DatabaseError as error:
            logger.error("the database is unavailable", extra={"worker": self.worker.name, "error": str(error)[:200]})
            connection.close()
        except Exception:
            # The worker must go on: its rows would wait for ever.
            logger.exception("worker %s failed", self.worker.name)
        else:
            self._came_round = True
            return handled
        return None

    def _pause_after(self, handled: int | None) -> None:
        if handled is None:
            self._stopped.wait(RETRY_SECONDS)
        elif handled and self.worker.busy_seconds:
            self._stopped.wait(self.worker.busy_seconds)
        elif handled < self.worker.rows and not self._stopped.is_set():
            self.is_idle = True
            # Random, so that the loops do not all call their workers at the same moment.
            self.woken.wait(self.worker.idle_seconds * random.uniform(0.8, 1.2))  # noqa: S311  (no secret)
            self.is_idle = False


class Loops:
    """The loops of one process."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._stopped = threading.Event()
        self._loops = {worker.name: Loop(worker, self._stopped) for worker in workers}
        self._queries = {worker.name: worker.due for worker in workers if worker.due}
        self._due: DueNames | None = None
        self._beat_at = 0.0

    def start(self) -> list[threading.Thread]:
        """Start a thread for each loop. From now on wake-ups of this process reach the loops directly."""
        tasks.run_here({name: loop.woken for name, loop in self._loops.items()})
        threads = [threading.Thread(target=loop.run, name=name, daemon=True) for name, loop in self._loops.items()]
        for thread in threads:
            thread.start()
        return threads

    def stop(self) -> None:
        """End all loops after their present calls."""
        self._stopped.set()
        for loop in self._loops.values():
            loop.woken.set()

    def watch(self) -> None:
        """Wake the loops whose rows are due, and record heartbeats. The caller calls it every WATCH_SECONDS."""
        try:
            if clock.is_wrong():
                # Without heartbeats, `/health/ready` and the metrics show that this process does nothing.
                return
            if self._due is None:
                self._due = DueNames({name: query() for name, query in self._queries.items()})
            for name in self._due.find():
                self._loops[name].woken.set()
            if monotonic() - self._beat_at >= HEARTBEAT_SECONDS:
                # A loop whose worker hangs or raises is left out, so health checks and metrics see that it is silent.
                heartbeats.beat(PROCESS, *(name for name, loop in self._loops.items() if loop.is_alive()))
                self._beat_at = monotonic()
        except DatabaseError as error:
            logger.error("the database is unavailable", extra={"worker": PROCESS, "error": str(error)[:200]})
            connection.close()
