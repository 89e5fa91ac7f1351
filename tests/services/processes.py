"""Runs `manage.py …` in separate processes, which a test can watch, interrupt and kill.

The processes start with default signals and end with the test (`config/management/subprocesses.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import requests

from config.management import subprocesses
from tests.services.waiting import HANG_SECONDS, until

_ROOT = Path(__file__).resolve().parents[2]

Found = TypeVar("Found")
# Requests to this machine ignore the proxies that the environment names.
_session = requests.Session()
_session.trust_env = False


class RunningCommand:
    """One process of `manage.py`."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocesses.start(
                [sys.executable, _ROOT / "manage.py", *arguments],
                output=output,
                environment={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """Its standard output and errors up to now."""
        return self.log.read_text(errors="replace")

    def wait(self) -> int:
        """Waits until the process ends by itself. Returns its exit status."""
        return self._process.wait(timeout=HANG_SECONDS)

    def end(self, *, by: signal.Signals = signal.SIGTERM) -> int:
        """Asks the process to end, as a service manager does, and waits. Returns its exit status."""
        if self.is_running:
            self._process.send_signal(by)
        return self.wait()

    def kill(self) -> None:
        """As `kill -9`."""
        subprocesses.kill(self._process)

    def wait_for_output(self, text: str) -> None:
        """Waits until its output contains `text`."""
        self._until(lambda: text in self.output, what=f"“{text}”")

    def wait_for_response(self, url: str) -> requests.Response:
        """Waits for a 200 from `url`. Returns that response."""
        return cast(requests.Response, self._until(lambda: _ok(url), what=f"200 from {url}"))

    def _until(self, condition: Callable[[], Found], *, what: str) -> Found:
        def condition_while_running() -> Found:
            if not (found := condition()) and not self.is_running:
                raise AssertionError(f"It ended with status {self._process.returncode}:\n{self.output}")
            return found

        return until(condition_while_running, what=f"{what} from manage.py (its log: {self.log})")


class Processes:
    """Starts processes with the same environment, and ends all of them together."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self._started: list[RunningCommand] = []

    def __call__(self, *arguments: str, **environment: str) -> RunningCommand:
        """Start `manage.py` with `arguments`. `environment` is added to the environment of all processes."""
        log = self.folder / f"{len(self._started)}-{arguments[0]}.log"
        command = RunningCommand(arguments, {**self.environment, **environment}, log)
        self._started.append(command)
        return command

    def kill_all(self) -> None:
        for command in self._started:
            command.kill()


@contextmanager
def processes(folder: Path, environment: Mapping[str, str]) -> Iterator[Processes]:
    """Starts processes for as long as the block lasts; their logs lie in `folder`."""
    started = Processes(folder, environment)
    try:
        yield started
    finally:
        started.kill_all()


def run_command(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs `manage.py` to its end. Returns its exit status and output."""
    return subprocess.run(
        [sys.executable, _ROOT / "manage.py", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


def _ok(url: str) -> requests.Response | None:
    try:
        response = _session.get(url, timeout=HANG_SECONDS / 2, allow_redirects=False)
    except requests.RequestException:
        return None
    return response if response.status_code == 200 else None
