"""Programs that the nemesis may kill, stop and end, and that somebody starts again, as a service manager does."""

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

from config.management import children

ROOT = Path(__file__).resolve().parents[2]
LEAVE_SECONDS_MAX = 15.0
# Linux ends a child with the very thread that started it. So one thread, which lives as long as we do, starts them all.
_mother = ThreadPoolExecutor(1, thread_name_prefix="mother")


def start(command: Sequence[str | Path], **details: Any) -> subprocess.Popen[bytes]:
    """A child process that does not outlive us; may be called from any thread."""
    return _mother.submit(partial(children.start, command, **details)).result()


class Program:
    """One program with its children, as a group; its output is kept over all its lives."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [sys.executable, *command]
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._lock = threading.Lock()
        self._process = self._begin()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """kill -9 for it and its children; then it is started again."""
        with self._lock:
            children.kill(self._process)
            self._process = self._begin()

    def end(self) -> bool:
        """SIGTERM, and started again. Whether it left within the time that a service manager gives."""
        with self._lock:
            children.ask(self._process)
            in_time = _ends(self._process)
            children.kill(self._process)
            self._process = self._begin()
            return in_time

    def kill_a_child(self) -> bool:
        """kill -9 for one of its own processes. False when it has none."""
        with suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children():
                child.kill()
                return True
        return False

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        children.kill(self._process)

    def keep_alive(self) -> None:
        """Start it again if it has ended by itself."""
        with self._lock:
            if not self.is_running:
                self._process = self._begin()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _begin(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return start(self._command, output=output, environment=self._environment, folder=ROOT)


def _ends(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(LEAVE_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return False
    return True
