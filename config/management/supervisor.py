"""Keeps the programs running that together are Limn, for `make run`. Each writes a log file of its own."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.management import subprocesses

# Restarting at once does not help a program that ends at once, so the pause doubles up to this.
PAUSE_SECONDS_MAX = 30.0
# After a run of this length the pause is short again.
RECOVERED_AFTER_SECONDS = 60.0

# Limn's log lines begin with the time, the web server's with a bracket. A program that crashes prints a traceback.
_ALARMING = re.compile(r"([\d-]{10} [\d:,]+ |\[)(WARNING|ERROR|CRITICAL)\b|Traceback|CommandError")
_CONTINUES = re.compile(r"^\s|^[A-Za-z_.]+(Error|Exception)\b")


class Program:
    """One supervised program. It is restarted by `check`, which the caller calls again and again."""

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, logs: Path
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._folder = folder
        self._log = _Log(logs / f"{name}.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at: float | None = None
        self._pause_seconds = 1.0

    def start(self) -> None:
        self._started_at, self._restart_at = time.monotonic(), None
        with self._log.path.open("ab") as output:
            self._process = subprocesses.start(
                self._command, output=output, environment=self._environment, folder=self._folder
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def check(self) -> list[str]:
        """Restart the program if it has ended and its pause is over. Returns the lines to show to the operator."""
        messages = self._log.alarms()
        if self.is_running:
            return messages
        if self._restart_at is None:
            return [*messages, self._schedule_restart()]
        if time.monotonic() >= self._restart_at:
            self.start()
        return messages

    def ask_to_end(self) -> None:
        """Send SIGTERM, if the program is running."""
        if self._process is not None:
            subprocesses.ask(self._process)

    def reap(self, *, within_seconds: float) -> None:
        """Wait for its end, and kill it after this time."""
        if self._process is not None:
            subprocesses.reap(self._process, within_seconds=within_seconds)

    def last_lines(self, lines: int = 12) -> str:
        """Return the end of its log."""
        return "\n".join(self._log.path.read_text(errors="replace").splitlines()[-lines:])

    def _schedule_restart(self) -> str:
        now = time.monotonic()
        # Its own children may have outlived it.
        status = subprocesses.kill(self._process) if self._process else 0
        if now - self._started_at > RECOVERED_AFTER_SECONDS:
            self._pause_seconds = 1.0
        pause, self._pause_seconds = self._pause_seconds, min(self._pause_seconds * 2, PAUSE_SECONDS_MAX)
        self._restart_at = now + pause
        return f"ended with status {status}; restart in {pause:g} s"


class _Log:
    """A log file that a program writes, read from where the last read stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        path.touch(mode=0o600)
        self._read_bytes = 0
        self._inside_alarm = False

    def alarms(self) -> list[str]:
        """Return the new lines that the operator should see: warnings, errors and their tracebacks."""
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            complete, newline, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(complete + newline)
        return [line for line in complete.decode(errors="replace").splitlines() if self._is_alarming(line)]

    def _is_alarming(self, line: str) -> bool:
        self._inside_alarm = bool(_ALARMING.match(line) or (self._inside_alarm and _CONTINUES.match(line)))
        return self._inside_alarm
