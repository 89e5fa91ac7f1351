"""The programs that together are Limn, each kept running, with its log."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.management import subprocesses

# A program that dies at once is not helped by being started at once.
PAUSE_SECONDS_MAX = 30.0
# Who lived this long has recovered, and the next pause is short again.
RECOVERED_AFTER_SECONDS = 60.0

# Our own lines begin with the time, the web server's with a bracket; who dies in the middle says so at once.
_ALARMING = re.compile(r"([\d-]{10} [\d:,]+ |\[)(WARNING|ERROR|CRITICAL)\b|Traceback|CommandError")
_CONTINUES = re.compile(r"^\s|^[A-Za-z_.]+(Error|Exception)\b")


class Part:
    """One program. Nothing happens by itself: `look` again and again, and it is started again when it has died."""

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
        self._start_again_at: float | None = None
        self._pause_seconds = 1.0

    def start(self) -> None:
        self._started_at, self._start_again_at = time.monotonic(), None
        with self._log.path.open("ab") as output:
            self._process = subprocesses.start(
                self._command, output=output, environment=self._environment, folder=self._folder
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def look(self) -> list[str]:
        """Start it again when its pause is over. Answers what there is to say about it."""
        news = self._log.alarms()
        if self.is_running:
            return news
        if self._start_again_at is None:
            return [*news, self._note_death()]
        if time.monotonic() >= self._start_again_at:
            self.start()
        return news

    def ask_to_end(self) -> None:
        if self._process is not None:
            subprocesses.ask(self._process)

    def reap(self, *, within_seconds: float) -> None:
        if self._process is not None:
            subprocesses.reap(self._process, within_seconds=within_seconds)

    def last_words(self, lines: int = 12) -> str:
        return "\n".join(self._log.path.read_text(errors="replace").splitlines()[-lines:])

    def _note_death(self) -> str:
        now = time.monotonic()
        status = subprocesses.kill(self._process) if self._process else 0  # Its own children may have outlived it.
        if now - self._started_at > RECOVERED_AFTER_SECONDS:
            self._pause_seconds = 1.0
        pause, self._pause_seconds = self._pause_seconds, min(self._pause_seconds * 2, PAUSE_SECONDS_MAX)
        self._start_again_at = now + pause
        return f"ended with status {status}; it is started again in {pause:g} s"


class _Log:
    """A file that a program writes and we read, from where we stopped reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        path.touch(mode=0o600)
        self._read_bytes = 0
        self._inside_alarm = False

    def alarms(self) -> list[str]:
        """The new lines that a person should see: warnings, errors, and their tracebacks."""
        return [line for line in self._new_lines() if self._is_alarming(line)]

    def _new_lines(self) -> list[str]:
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            complete, newline, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(complete + newline)
        return complete.decode(errors="replace").splitlines()

    def _is_alarming(self, line: str) -> bool:
        self._inside_alarm = bool(_ALARMING.match(line) or (self._inside_alarm and _CONTINUES.match(line)))
        return self._inside_alarm
