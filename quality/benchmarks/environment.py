"""Starts what the benchmarks measure: PostgreSQL with fsync, SeaweedFS, the stand-in for fal, and Limn itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg

from config.management import subprocesses
from config.management.ports import free_port
from quality.benchmarks import http_load
from quality.benchmarks.fal_server import FAL_KEY
from quality.benchmarks.installation import Limn, User, answers, create_users, running
from quality.benchmarks.signing import USER_ID, Signer, new_private_key
from quality.chaos import processes
from quality.chaos.postgres import Postgres
from quality.chaos.processes import ROOT
from tests.services.seaweed import Bucket, seaweed
from tests.services.waiting import until

USERS = 16
# As `manage.py serve` starts them.
WEB_PROCESSES = 2
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
        """Set fields of `fal_server.Behaviour`; what is not named gets its default."""
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


class Environment:
    """A context manager: the services start on entry, and everything ends on exit."""

    def __init__(self, folder: Path, root: Path = ROOT, *, users: int = USERS, web: int = WEB_PROCESSES) -> None:
        """Start nothing yet.

        Args:
            folder: For databases, files and logs.
            root: The checkout of Limn to measure.
            users: How many users an installation has.
            web: How many processes a web server has.
        """
        self.folder, self.root = folder, root
        self._user_count, self._web = users, web
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
            self.users = create_users(self.root, self.variables(self.database("limn")), self._user_count)
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
            # Each database is a deployment of its own, and refuses the storage of another one.
            "STORAGE_PREFIX": uuid4().hex,
        }

    @contextmanager
    def limn(self, database_url: str, *, web: int | None = None, workers: int = 0, **changes: str) -> Iterator[Limn]:
        """Run Limn with this many processes of `manage.py serve`, and this many `manage.py work`.

        Args:
            web: None: as many as all benchmarks use.
            workers: Processes of `manage.py work`.
            changes: Environment variables that differ from those of all benchmarks.
        """
        limn = Limn(self.root, self.folder, self.variables(database_url) | changes, self.users)
        with running(limn, web=self._web if web is None else web, workers=workers):
            yield limn

    @contextmanager
    def server(self, name: str, command: list[str], ready: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run another server than Limn, from its start until `ready`, a URL, answers, to the end of the block."""
        with (self.folder / f"{name}.log").open("ab") as output:
            process = processes.start(command, output=output, environment={**os.environ, **variables}, folder=ROOT)
        try:
            until(lambda: answers(process, ready), what=name)
            yield process
        finally:
            subprocesses.kill(process)

    def _start_fal(self) -> Fal:
        port, key = free_port(), new_private_key()
        command = [sys.executable, "-m", "quality.benchmarks.fal_server", str(port), key]
        url = f"http://127.0.0.1:{port}/.well-known/jwks.json"
        process = self._stack.enter_context(self.server("fal", command, url))
        return Fal(port, process, Signer(key))


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
