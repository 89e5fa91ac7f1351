"""One installation of Limn that is measured: its users, its processes, and the requests to it.

Limn runs as in production, `manage.py serve` and `manage.py work`, from any checkout of the repository, and is prepared
through its commands and its API only. So the same benchmark measures an older commit.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from config.management import local_http, subprocesses
from config.management.ports import free_port
from quality.benchmarks import http_load
from quality.benchmarks.fal_server import FAILURE
from quality.chaos import processes
from tests.services.waiting import until

CREDITS = 100_000_000
MODEL = "flux-schnell"
JOBS_SECONDS_MAX = 300.0
POLL_SECONDS = 0.05
STOP_SECONDS_MAX = 15
_COMPLETED = "SELECT count(*) FROM generations_generation WHERE status = 'completed'"
_ENDED = "SELECT count(*) FROM generations_generation WHERE status IN ('completed', 'failed')"
_CREATE_USERS = """
from django.core.management import call_command
for number in range({users}):
    call_command("demo_user", username=f"user{{number}}", credits={credits}, json=True)
"""


@dataclass(frozen=True)
class User:
    """A user of Limn, as `manage.py demo_user` prints it."""

    username: str
    password: str
    token: str


class Limn:
    """One running installation. Its processes are in `groups`, as `web` and `work`."""

    def __init__(self, root: Path, folder: Path, variables: Mapping[str, str], users: Sequence[User]) -> None:
        """Start nothing yet.

        Args:
            root: The checkout to run.
            folder: For the logs of the processes.
            variables: The environment. Without DATABASE_URL the installation uses SQLite.
            users: Whose keys the requests have.
        """
        self.port = free_port()
        self.tokens = [user.token for user in users]
        self.database_url = variables["DATABASE_URL"]
        self.groups: dict[str, list[subprocess.Popen[bytes]]] = {"web": [], "work": []}
        self._root, self._folder, self._data = root, folder, Path(variables["DATA_DIR"])
        self._environment = {**os.environ, **variables, "SITE_URL": f"http://127.0.0.1:{self.port}"}

    def start_web(self, workers: int) -> None:
        """Start `manage.py serve` with this many processes, and wait until it answers."""
        process = self._start("web", "serve", "--port", str(self.port), "--workers", str(workers))
        until(lambda: answers(process, f"http://127.0.0.1:{self.port}/health/live"), what="Limn")

    def start_worker(self) -> None:
        """Start another `manage.py work`."""
        self._start("work", "work")

    def stop_workers(self) -> None:
        """End all `manage.py work`."""
        self._stop("work")

    def stop(self) -> None:
        """End all processes."""
        self._stop("work", "web")

    def order(self, number: int = 0, *, fails: bool = False, **fields: Any) -> bytes:
        """Return a request that orders an image for the user of this number. No two are equal.

        Args:
            fails: fal will report an error.
            fields: Other fields of the order, such as `metadata`.
        """
        prompt = f"a lighthouse on a cliff above the sea at dusk, {uuid4()}" + (f" {FAILURE}" if fails else "")
        body = {"model": MODEL, "input": {"prompt": prompt}, **fields}
        return self.request("POST", "/api/v1/generations/", number, json.dumps(body).encode())

    def request(self, method: str, path: str, number: int = 0, body: bytes = b"", etag: str = "") -> bytes:
        """Return a request of the user of this number."""
        headers = {"Authorization": f"Token {self.tokens[number % len(self.tokens)]}"}
        if etag:
            headers["If-None-Match"] = etag
        return http_load.request(method, path, headers, body)

    def wait_for_completed(self, count: int) -> None:
        """Wait until this many generations have been completed."""
        self._wait(_COMPLETED, count)

    def wait_for_ended(self, count: int) -> None:
        """Wait until this many generations have been completed or have failed."""
        self._wait(_ENDED, count)

    def completed(self) -> int:
        """Return how many generations have been completed."""
        with closing(self._connect()) as connection:
            return int(connection.execute(_COMPLETED).fetchone()[0])

    def _wait(self, statement: str, count: int) -> None:
        with closing(self._connect()) as connection:
            deadline = time.monotonic() + JOBS_SECONDS_MAX
            while (found := connection.execute(statement).fetchone()[0]) < count:
                if time.monotonic() > deadline:
                    raise http_load.LoadError(f"{found} of {count} jobs ended within {JOBS_SECONDS_MAX:g} s")
                time.sleep(POLL_SECONDS)

    def _connect(self) -> Any:
        if self.database_url:
            return psycopg.connect(self.database_url, autocommit=True)
        return sqlite3.connect(self._data / "limn.sqlite3", timeout=30)

    def _start(self, group: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{group}.log").open("ab") as output:
            command = [sys.executable, "manage.py", *arguments]
            process = processes.start(command, output=output, environment=self._environment, folder=self._root)
        self.groups[group].append(process)
        return process

    def _stop(self, *groups: str) -> None:
        ending = [process for group in groups for process in self.groups[group]]
        for process in ending:
            subprocesses.ask(process)
        for process in ending:
            subprocesses.stop(process, within_seconds=STOP_SECONDS_MAX)
        for group in groups:
            self.groups[group].clear()


@contextmanager
def running(limn: Limn, *, web: int, workers: int) -> Iterator[Limn]:
    """Run an installation with so many processes of `manage.py serve` and `manage.py work`, to the end of the block."""
    try:
        if web:
            limn.start_web(web)
        for _ in range(workers):
            limn.start_worker()
        yield limn
    finally:
        limn.stop()


def create_users(root: Path, variables: Mapping[str, str], users: int) -> list[User]:
    """Create Limn's tables and users with many credits."""
    environment = {**os.environ, **variables, "SITE_URL": "http://127.0.0.1"}
    script = _CREATE_USERS.format(users=users, credits=CREDITS)
    for command in (["migrate", "--verbosity", "0"], ["shell", "--verbosity", "0", "-c", script]):
        ended = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"manage.py {command[0]} failed: {ended.stderr[-2000:]}")
    return [User(**json.loads(line)) for line in ended.stdout.splitlines() if line.startswith("{")]


def answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Return whether a server that has just been started answers. Raises RuntimeError if it has ended."""
    if process.poll() is not None:
        raise RuntimeError(f"a server ended with status {process.returncode} while it was starting; see its log")
    return local_http.status(url) in (200, 404)
