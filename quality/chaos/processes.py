"""Processes that can be killed, paused, terminated and restarted, as a service manager would do it.

The environment starts Limn's web server and workers with `ManagedProcess`; the fault injector signals them. A process
and its children form one process group, and the output of all its restarts is kept in one log.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from config.management import subprocesses

ROOT = Path(__file__).resolve().parents[2]
# Case E2 of docs/failure-modes.md: after SIGTERM, work ends or is handed back within this time.
TERMINATE_SECONDS_MAX = 30.0
# Linux sends the death signal of a child when the *thread* that started it ends. One thread, which lives as long as
# this process, therefore starts all children.
_starter = ThreadPoolExecutor(1, thread_name_prefix="starter")


def start(command: Sequence[str | Path], **details: Any) -> subprocess.Popen[bytes]:
    """Start a child process that does not outlive this one. May be called from any thread."""
    return _starter.submit(partial(subprocesses.start, command, **details)).result()


class ManagedProcess:
    """One Python program, with its children in a process group."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._command = [sys.executable, *command]
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._extra_environment: Mapping[str, str] = {}
        self._is_halted = False
        self._lock = threading.Lock()
        self._process = self._start()

    @property
    def output(self) -> str:
        """Everything that the program has written since its first start."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """Send SIGKILL to the process group, then start the program again."""
        with self._lock:
            subprocesses.kill(self._process)
            self._process = self._start()

    def terminate(self) -> bool:
        """Send SIGTERM, then start the program again. Returns whether it ended within 30 s."""
        with self._lock:
            subprocesses.ask(self._process)
            try:
                self._process.wait(TERMINATE_SECONDS_MAX)
                ended_in_time = True
            except subprocess.TimeoutExpired:
                ended_in_time = False
            subprocesses.kill(self._process)
            self._process = self._start()
            return ended_in_time

    def restart_with(self, environment: Mapping[str, str]) -> None:
        """Kill the program, and start it again with these variables in addition, until the next call."""
        self._extra_environment = environment
        self.kill()

    def halt(self, *, by_kill: bool) -> None:
        """End the program, by SIGKILL or by SIGTERM, and leave it ended until `start_again`."""
        with self._lock:
            self._is_halted = True
            if by_kill:
                subprocesses.kill(self._process)
            else:
                subprocesses.stop(self._process, within_seconds=TERMINATE_SECONDS_MAX)
                # Its children too, if it could not end them.
                subprocesses.kill(self._process)

    def start_again(self) -> None:
        """Start the program after `halt`."""
        with self._lock:
            self._is_halted = False
            self._process = self._start()

    def limit_file_size(self, bytes_max: int | None) -> None:
        """Let the program write no file larger than this, as on a full disk. None: as large as it likes."""
        with suppress(psutil.Error):
            program = psutil.Process(self._process.pid)
            for process in (program, *program.children(recursive=True)):
                # Only the soft limit: a process without privileges could not raise the hard one again.
                limit = psutil.RLIM_INFINITY if bytes_max is None else bytes_max
                process.rlimit(psutil.RLIMIT_FSIZE, (limit, psutil.RLIM_INFINITY))

    def kill_child(self) -> None:
        """Send SIGKILL to one child of the process, if it has any."""
        with suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children()[:1]:
                child.kill()

    def pause(self) -> None:
        self._send_to_group(signal.SIGSTOP)

    def resume(self) -> None:
        self._send_to_group(signal.SIGCONT)

    def stop(self) -> None:
        """End the program for good."""
        # A paused process must run to be reaped.
        self.resume()
        subprocesses.kill(self._process)

    def restart_if_ended(self) -> None:
        """Start the program again if it has ended by itself, as after a failpoint."""
        with self._lock:
            if self._process.poll() is not None and not self._is_halted:
                self._process = self._start()

    def _send_to_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return start(
                self._command, output=output, environment={**self._environment, **self._extra_environment}, folder=ROOT
            )
