"""Faults of Limn's processes: killed, ended, paused, restarted in turn, with a wrong clock or a full disk."""

from __future__ import annotations

from dataclasses import dataclass

from quality.chaos.fault_context import FaultContext, Faults
from quality.chaos.processes import ManagedProcess
from tests.services.faketime import wrong_clock
from tests.services.waiting import until

# The copier's lease, which is the shortest: a process that is paused for longer has lost its leases.
LEASE_SECONDS = 15.0
START_SECONDS = 4.0
MINUTE, HOUR = 60, 3600
# Up to 30 s a process goes on working; beyond that it must do nothing until its clock is right.
CLOCK_ERRORS_SECONDS = (20, 40, 10 * MINUTE, 70 * MINUTE, 3 * HOUR, 7 * HOUR)
# Larger than the log of any process, and smaller than the files of the scenario `outputs:large`.
FULL_DISK_BYTES = 10 * 1024**2


@dataclass
class ProcessFaults:
    """Faults of the processes of the installation under load."""

    context: FaultContext

    def faults(self) -> Faults:
        limn = self.context.environment.limn
        return {
            "kill -9 worker": lambda: self._worker().kill(),
            "kill -9 web": limn.web.kill,
            "kill -9 web child": limn.web.kill_child,
            "SIGTERM worker": lambda: self.terminate(self._worker()),
            "SIGTERM web": lambda: self.terminate(limn.web),
            "SIGSTOP worker": lambda: self.pause(self._worker(), LEASE_SECONDS * self.context.rng.uniform(1.2, 3)),
            "SIGSTOP web": lambda: self.pause(limn.web, LEASE_SECONDS),
            "rolling restart": self.restart_in_turn,
            "clock of a worker": lambda: self.set_wrong_clock(self._worker()),
            "clock of the web server": lambda: self.set_wrong_clock(limn.web),
            "disk of a worker full": lambda: self.fill_disk(self._worker()),
        }

    def terminate(self, process: ManagedProcess) -> None:
        """Send SIGTERM: the process must end within the time that a service manager gives it (E2)."""
        if not process.terminate():
            self.context.counters.add_violation("E2", f"{process.name} had not ended 30 s after SIGTERM")

    def pause(self, process: ManagedProcess, seconds: float) -> None:
        """Stop a process for so long that its leases run out, and let it go on with work that it has lost."""
        process.pause()
        self.context.stop.wait(seconds / self.context.environment.time_scale)
        process.resume()

    def restart_in_turn(self) -> None:
        """End and start every process, one after the other, as a deployment does."""
        for process in self.context.environment.limn.processes:
            self.terminate(process)

    def set_wrong_clock(self, process: ManagedProcess) -> None:
        """Restart a process with a wrong clock, and later with the right one again."""
        seconds = self.context.rng.choice((-1, 1)) * self.context.rng.choice(CLOCK_ERRORS_SECONDS)
        process.restart_with(wrong_clock(seconds))
        self.context.counters.count_event(f"a clock {seconds:+} s wrong")
        # The process needs seconds to start, before its clock has any effect.
        self.context.stop.wait(START_SECONDS)
        self.context.wait()
        process.restart_with({})
        if process is self.context.environment.limn.web:
            until(self.context.environment.limn.is_ready, what="the web server with the right clock")

    def fill_disk(self, process: ManagedProcess) -> None:
        """Let a process write no large temporary file, as with a full disk."""
        process.limit_file_size(FULL_DISK_BYTES)
        self.context.wait()
        process.limit_file_size(None)

    def _worker(self) -> ManagedProcess:
        return self.context.rng.choice(self.context.environment.limn.worker_processes)
