"""One chaos run in three phases.

1. Load: clients place orders while faults are injected and snapshots are checked (safety).
2. Recovery: faults are repaired; everything in progress must end within `RECOVERY_SECONDS_MAX` (liveness).
3. Final checks: Limn's rows are compared with the simulator's log and the bucket.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import django

from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.fault_plan import FaultPlan

RECOVERY_SECONDS_MAX = 120.0
# Three submissions, each looked for in fal's record for as long as that may lag behind.
UNDECIDED_SECONDS_MAX = 60.0
# How long late duplicates go on after everything has ended.
LATE_SECONDS = 2.0
POLLED_AGAIN = 20
PROGRESS_SECONDS = 15.0
JOIN_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Size:
    """How long a run is, and how dense its load and its faults are."""

    generations: int
    """The load phase ends after this many orders."""
    seconds: float
    """The load phase ends after this time, or after twice this time if `orders_min` was not reached by then."""
    orders_min: int
    clients: int
    time_scale: float
    """Leases, backoffs and grace periods are shorter by this factor."""
    fault_pause_seconds: tuple[float, float]
    fault_seconds: tuple[float, float]
    snapshot_seconds: float


@dataclass(kw_only=True)
class Result:
    """What the report is made from."""

    counters: Counters
    load_seconds: float = 0
    recovery_seconds: float = 0
    final_states: dict[str, int] = field(default_factory=dict)


def run(plan: FaultPlan, size: Size, folder: Path) -> Result:
    """Run all three phases. Databases, logs and files are written to `folder`."""
    result = Result(counters=Counters())
    environment = Environment(folder, time_scale=size.time_scale, plan=plan)
    with environment:
        # The environment has set the variables that config.settings reads.
        django.setup()
        phases = Phases(environment, plan, size, result)
        for title, phase in (
            ("Phase 1: load, with faults.", phases.load),
            ("Phase 2: recovery, without faults.", phases.recover),
            ("Phase 3: final checks.", phases.check),
        ):
            print(f"{time.strftime('%H:%M:%S')} {title}", flush=True)
            phase()
    return result


class Phases:
    """The three phases of one run, and the threads that they share."""

    def __init__(self, environment: Environment, plan: FaultPlan, size: Size, result: Result) -> None:
        # Models can be imported only after django.setup().
        from quality.chaos.participants import Participants  # noqa: PLC0415

        self._environment, self._plan, self._size = environment, plan, size
        self._result, self._counters = result, result.counters
        self._stop_load, self._stop_all = threading.Event(), threading.Event()
        self._participants = Participants(
            environment, plan, size, self._counters, stop_load=self._stop_load, stop_all=self._stop_all
        )
        self._background: list[threading.Thread] = []

    def load(self) -> None:
        """Place orders and inject faults until the size of the run is reached."""
        started = time.monotonic()
        participants = self._participants
        for kind in self._plan.topology.kinds:
            self._counters.count_fault(kind)
        # From the beginning, so that even a short run has strangers.
        if "stranger's files" in self._plan.environment_faults:
            participants.strangers.put_files()
            self._counters.count_fault("stranger's files")
        clients = [self._start_thread(client.run) for client in participants.all_clients]
        injector = self._start_thread(participants.fault_injector.run)
        self._background = [
            self._start_thread(participants.checks.run),
            self._start_thread(participants.replayer.run),
            self._start_thread(participants.strangers.run),
            self._start_thread(self._environment.keep_running, self._stop_all),
        ]
        next_progress = started
        # Clients end by themselves when the limit of orders is reached.
        while any(thread.is_alive() for thread in clients):
            elapsed, events = time.monotonic() - started, self._counters.events
            # A busy machine gets twice the time to reach the minimum of orders.
            has_enough = events["orders"] >= self._size.orders_min
            if elapsed >= self._size.seconds * (1 if has_enough else 2):
                break
            time.sleep(0.5)
            if time.monotonic() >= next_progress:
                next_progress += PROGRESS_SECONDS
                ended = events["seen completed"] + events["seen failed"]
                print(f"  {elapsed:4.0f} s: {events['orders']} ordered, {ended} ended", flush=True)
        self._stop_load.set()
        for thread in clients:
            thread.join(timeout=JOIN_SECONDS)
        self._result.load_seconds = time.monotonic() - started
        # The fault in progress must be repaired before everything is: otherwise the injector would undo the repair.
        injector.join(timeout=JOIN_SECONDS)
        participants.fault_injector.repair()

    def recover(self) -> None:
        """Wait until everything has ended, and let late duplicates go on for a moment."""
        started = time.monotonic()
        # The clients poll too: what the API shows must end as well as the rows.
        deadline = started + 2 * RECOVERY_SECONDS_MAX
        clients = [self._start_thread(client.finish, deadline) for client in self._participants.all_clients]
        self._wait_for_end(started + RECOVERY_SECONDS_MAX, undecided_until=started + UNDECIDED_SECONDS_MAX)
        self._result.recovery_seconds = time.monotonic() - started
        if self._participants.has_unfinished_work():
            self._participants.pass_deadlines()
            self._wait_for_end(deadline)
        for thread in clients:
            thread.join(timeout=RECOVERY_SECONDS_MAX)
        # Duplicates that arrive after the end must change nothing that a client sees.
        time.sleep(LATE_SECONDS)
        for client in self._participants.clients:
            client.poll_finished(POLLED_AGAIN)
        self._stop_all.set()
        for thread in self._background:
            thread.join(timeout=JOIN_SECONDS)

    def _wait_for_end(self, deadline: float, *, undecided_until: float = math.inf) -> None:
        """Wait until everything has ended. Both times are of the monotonic clock.

        Args:
            undecided_until: How long to wait for generations that fal may decide, or not before their deadline.
        """
        while (now := time.monotonic()) < deadline:
            is_unfinished = self._participants.has_unfinished_work(undecided=now < undecided_until)
            if not is_unfinished and self._environment.is_ready():
                return
            time.sleep(0.3)

    def check(self) -> None:
        """Compare Limn's rows with the simulator's log and the bucket."""
        if not self._environment.is_ready():
            self._counters.add_violation("I11", "Limn is not ready, though no fault is active")
        self._participants.run_final_checks()
        self._result.final_states = self._participants.final_states()

    def _start_thread(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        def guarded() -> None:
            try:
                target(*arguments)
            except Exception as error:
                # A run proves nothing if a part of it has stopped, so this counts as a violation.
                detail = f"{target.__qualname__} raised {type(error).__name__}: {error}"
                self._counters.add_violation("chaos", detail[:500])
                raise

        thread = threading.Thread(target=guarded, daemon=True, name=target.__qualname__)
        thread.start()
        return thread
