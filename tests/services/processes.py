"""`manage.py …` as processes of their own, to be watched, interrupted and killed."""

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
# No proxy that the environment names comes between us and this machine.
_session = requests.Session()
_session.trust_env = False


class Running:
    """One process. `kill_hard` is kill -9; `end` is what a service manager does."""

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
        return self.log.read_text(errors="replace")

    def wait(self) -> int:
        """Waits until the process ends by itself. Returns its exit status."""
        return self._process.wait(timeout=HANG_SECONDS)

    def end(self, *, by: signal.Signals = signal.SIGTERM) -> int:
        """Asks the process to end, and waits for that. Returns its exit status."""
        if self.is_running:
            self._process.send_signal(by)
        return self.wait()

    def kill_hard(self) -> None:
        subprocesses.kill(self._process)

    def until_it_says(self, words: str) -> None:
        """Waits until its log contains `words`."""
        self._until(lambda: words in self.output, what=f"“{words}”")

    def until_it_answers(self, url: str) -> requests.Response:
        """Waits for a 200 from `url`. Returns that response."""
        return cast(requests.Response, self._until(lambda: _ok(url), what=f"200 from {url}"))

    def _until(self, condition: Callable[[], Found], *, what: str) -> Found:
        def is_so() -> Found:
            if found := condition():
                return found
            if not self.is_running:
                raise AssertionError(f"It ended with status {self._process.returncode}:\n{self.output}")
            return found

        return until(is_so, what=f"{what} from manage.py (its log: {self.log})")


class Processes:
    """Starts processes in one environment, and reaps them all."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self._started: list[Running] = []

    def __call__(self, *arguments: str, **environment: str) -> Running:
        """Start `manage.py` with `arguments`; `environment` adds to what all of them get."""
        log = self.folder / f"{len(self._started)}-{arguments[0]}.log"
        running = Running(arguments, {**self.environment, **environment}, log)
        self._started.append(running)
        return running

    def reap(self) -> None:
        for running in self._started:
            running.kill_hard()


@contextmanager
def processes(folder: Path, environment: Mapping[str, str]) -> Iterator[Processes]:
    started = Processes(folder, environment)
    try:
        yield started
    finally:
        started.reap()


def output_of(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` to its end."""
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
