"""Starts what the benchmarks measure: PostgreSQL with fsync, SeaweedFS, the stand-in for fal, and Limn itself.

Limn runs as in production, `manage.py serve` and `manage.py work`, from any checkout of the repository, and is prepared
through its commands and its API only. So the same benchmark measures an older commit: `--root FOLDER`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg

from config.management import local_http, subprocesses
from config.management.ports import free_port
from quality.benchmarks import http_load
from quality.benchmarks.fal_server import FAILURE, FAL_KEY
from quality.benchmarks.signing import USER_ID, Signer, new_private_key
from quality.chaos import processes
from quality.chaos.postgres import Postgres
from quality.chaos.processes import ROOT
from tests.services.seaweed import Bucket, seaweed
from tests.services.waiting import until

USERS = 16
CREDITS = 100_000_000
POSTGRES_SETTINGS = (
    "fsync=on",
    "synchronous_commit=on",
    "max_connections=200",
    "listen_addresses=127.0.0.1",
    # The moment at which a generation became visible as completed.
    "track_commit_timestamp=on",
)
# Every limit stays in force, and none is reached.
UNREACHED_LIMITS = {
    "USER_REQUESTS_PER_MINUTE": "1000000",
    "USER_RUNNING_MAX": "1000000",
    "USER_CREDITS_PER_DAY": "999999999",
    "USER_CREDITS_PER_MONTH": "999999999",
    "FAL_REQUESTS_PER_MINUTE": "100000",
    "FAL_REQUESTS_BURST": "100000",
}
CLEARED_VARIABLES = ("REDIS_URL", "ALLOWED_HOSTS", "EMAIL_URL", "MEDIA_ROOT", "DEBUG", "LOG_LEVEL", "PORT")
MODEL = "flux-schnell"
JOBS_SECONDS_MAX = 300.0
POLL_SECONDS = 0.05
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


@dataclass
class Fal:
    """The running stand-in for fal."""

    port: int
    process: subprocess.Popen[bytes]
    signer: Signer

    @property
    def variables(self) -> dict[str, str]:
        """The settings that make Limn use it."""
        url = f"http://127.0.0.1:{self.port}"
        return {
            "FAL_KEY": FAL_KEY,
            "FAL_ADMIN_KEY": "",
            "FAL_USER_ID": USER_ID,
            "FAL_QUEUE_URL": url,
            "FAL_JWKS_URL": f"{url}/.well-known/jwks.json",
            "FAL_MEDIA_HOSTS": f"127.0.0.1:{self.port}",
        }

    def behave(self, **behaviour: float) -> None:
        """Set `callback_seconds` and `file_bytes`; what is not named gets its default."""
        self._control("behaviour", json.dumps(behaviour).encode())

    def jobs(self) -> list[dict[str, Any]]:
        """Return all accepted jobs, see `fal_server.Job`."""
        jobs: list[dict[str, Any]] = self._control("jobs")["jobs"]
        return jobs

    def forget(self) -> None:
        """Forget all jobs."""
        self._control("forget")

    def _control(self, command: str, body: bytes = b"") -> Any:
        message = http_load.request("POST", f"/_control/{command}", {}, body)
        return json.loads(http_load.fetch(self.port, message))


@dataclass
class Limn:
    """One running installation: its processes, and the keys of its users."""

    port: int
    tokens: list[str]
    database_url: str
    """Empty: SQLite."""
    data: Path
    """Its folder for files."""
    groups: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)
    """The processes, as `web` and `work`."""

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
        return sqlite3.connect(self.data / "limn.sqlite3", timeout=30)


class Environment:
    """A context manager: the services start on entry, and everything ends on exit."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.folder, self.root = folder, root
        self._stack = ExitStack()
        self.users: list[User] = []

    def __enter__(self) -> Environment:
        try:
            self.postgres = Postgres(self.folder / "postgresql", free_port(), POSTGRES_SETTINGS)
            self._stack.callback(self.postgres.stop)
            self.bucket: Bucket = self._stack.enter_context(seaweed()).bucket()
            self.fal = self._start_fal()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def database(self, name: str, template: str = "") -> str:
        """Create a database, or replace it, as a copy of `template` if that is given. Returns its URL."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            source = f' TEMPLATE "{template}"' if template else ""
            connection.execute(f'CREATE DATABASE "{name}"{source}')
        return self.postgres.url.rpartition("/")[0] + f"/{name}"

    def limn_database(self, name: str) -> str:
        """Create a database with Limn's tables and users."""
        if not self.users:
            self.users = create_users(self.root, self.variables(self.database("limn")))
        return self.database(name, template="limn")

    def variables(self, database_url: str) -> dict[str, str]:
        """Return the environment variables of Limn with this database."""
        return {
            **dict.fromkeys(CLEARED_VARIABLES, ""),
            **UNREACHED_LIMITS,
            **self.fal.variables,
            **self.bucket.environment,
            "SECRET_KEY": "only-for-benchmarks-" * 2,
            "DATABASE_URL": database_url,
            "DATA_DIR": str(self.folder / "data"),
        }

    @contextmanager
    def limn(self, database_url: str, *, web: int = 2, workers: int = 0, **changes: str) -> Iterator[Limn]:
        """Run Limn with this many processes of `manage.py serve`, and this many `manage.py work`.

        Args:
            changes: Environment variables that differ from those of all benchmarks.
        """
        variables = self.variables(database_url) | changes
        with running(self.root, self.folder, variables, self.users, web=web, workers=workers) as limn:
            yield limn

    @contextmanager
    def server(self, name: str, command: list[str], ready: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run another server than Limn, from its start until `ready`, a URL, answers, to the end of the block."""
        with (self.folder / f"{name}.log").open("ab") as output:
            process = processes.start(command, output=output, environment={**os.environ, **variables}, folder=ROOT)
        try:
            until(lambda: _answers(process, ready), what=name)
            yield process
        finally:
            subprocesses.kill(process)

    def _start_fal(self) -> Fal:
        port, key = free_port(), new_private_key()
        command = [sys.executable, "-m", "quality.benchmarks.fal_server", str(port), key]
        url = f"http://127.0.0.1:{port}/.well-known/jwks.json"
        process = self._stack.enter_context(self.server("fal", command, url))
        return Fal(port, process, Signer(key))


@contextmanager
def running(
    root: Path, folder: Path, variables: Mapping[str, str], users: list[User], *, web: int, workers: int
) -> Iterator[Limn]:
    """Run Limn from the checkout `root` with these variables, until the end of the block."""
    port = free_port()
    environment = {**os.environ, **variables, "SITE_URL": f"http://127.0.0.1:{port}"}
    limn = Limn(
        port,
        [user.token for user in users],
        variables["DATABASE_URL"],
        Path(variables["DATA_DIR"]),
        {"web": [], "work": []},
    )

    def start(group: str, *arguments: str) -> None:
        with (folder / f"{group}.log").open("ab") as output:
            command = [sys.executable, "manage.py", *arguments]
            limn.groups[group].append(processes.start(command, output=output, environment=environment, folder=root))

    try:
        if web:
            start("web", "serve", "--port", str(port), "--workers", str(web))
            until(lambda: _answers(limn.groups["web"][0], f"http://127.0.0.1:{port}/health/live"), what="Limn")
        for _ in range(workers):
            start("work", "work")
        yield limn
    finally:
        for process in [*limn.groups["web"], *limn.groups["work"]]:
            subprocesses.ask(process)
        for process in [*limn.groups["web"], *limn.groups["work"]]:
            subprocesses.stop(process, within_seconds=15)


def create_users(root: Path, variables: Mapping[str, str], users: int = USERS) -> list[User]:
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


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time that processes and their descendants have used, those included that have ended."""
    total = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                # It has ended since it was listed; its parent has its time.
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass
class CpuMeter:
    """Measures the CPU time of groups of processes between `start` and `stop`."""

    groups: Mapping[str, list[int]]

    def start(self) -> None:
        self._before = {name: cpu_seconds(*pids) for name, pids in self.groups.items()}
        self._began = time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Return the seconds of CPU of each group, and `elapsed`."""
        used = {name: cpu_seconds(*pids) - self._before[name] for name, pids in self.groups.items()}
        return {**used, "elapsed": time.perf_counter() - self._began}


def meter(environment: Environment, limn: Limn) -> CpuMeter:
    """Return a meter for all processes of an installation and of the services."""
    groups = {name: [process.pid for process in started] for name, started in limn.groups.items()}
    return CpuMeter(
        {
            **groups,
            "postgresql": [environment.postgres.pid],
            "s3": s3_pids(),
            "fal": [environment.fal.process.pid],
            "load": [],
        }
    )


def s3_pids() -> list[int]:
    """Return the process of SeaweedFS, which was started by this one."""
    return [each.pid for each in psutil.Process().children() if each.name() == "weed"]


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"a server ended with status {process.returncode} while it was starting; see its log")
    return local_http.status(url) in (200, 404)
