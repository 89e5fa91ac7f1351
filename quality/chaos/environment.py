"""Starts everything that a chaos run needs: PostgreSQL, SeaweedFS, the simulator, three proxies, and Limn itself.

Limn reaches PostgreSQL, S3 and the simulator through the proxies, so that the fault injector can disturb each
connection. The process of the run itself connects to them directly. The topology of the plan says how many workers
there are, whether PgBouncer stands before PostgreSQL, and whether a second deployment uses the same bucket and the same
fal account.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from config.management import local_http
from config.management.ports import free_port
from quality.chaos.fault_plan import FaultPlan
from quality.chaos.installation import Installation
from quality.chaos.postgres import Postgres
from quality.chaos.processes import ManagedProcess
from quality.chaos.proxy import Proxy
from simulator.log import Log
from tests.services.pgbouncer import pgbouncer
from tests.services.seaweed import Bucket, seaweed
from tests.services.waiting import until

SIMULATOR_SPEED = 10
SECRETS = {"SECRET_KEY": "only-for-chaos-runs-" * 2}
# Variables of a developer's shell or .env file that must not reach the run.
CLEARED_VARIABLES = ("REDIS_URL", "ALLOWED_HOSTS", "EMAIL_URL", "MEDIA_ROOT", "DEBUG", "LOG_LEVEL", "PORT")
# Limits of each user, which some batches at the same time would reach.
UNLIMITED = ("USER_REQUESTS_PER_MINUTE", "USER_RUNNING_MAX", "USER_CREDITS_PER_DAY", "USER_CREDITS_PER_MONTH")
# Limn's role. Unlike the superuser it can be limited.
ROLE = "limn_app"
# The limits that Limn sets for its sessions, which PgBouncer does not pass on (docs/deploy.md).
SESSION_LIMITS = {"lock_timeout": "3s", "statement_timeout": "30s", "idle_in_transaction_session_timeout": "30s"}
NEIGHBOUR_PREFIX = "neighbour/"


@dataclass
class Environment:
    """A context manager: everything is started on entry and stopped on exit.

    Entering it also sets this process's environment variables, so that Django can be set up afterwards.
    """

    folder: Path
    """For databases, logs and files."""
    time_scale: float
    plan: FaultPlan
    """Its topology and its failpoints."""
    variables: dict[str, str] = field(default_factory=dict)
    """The environment variables that both installations of Limn share."""
    neighbour: Installation | None = None
    """The second deployment, if the topology has one."""

    def __enter__(self) -> Environment:
        self._stack = ExitStack()
        # `__exit__` is not called when `__enter__` fails, and everything that was started must still be stopped.
        try:
            self._start_services()
            self._start_limn()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def limn_processes(self) -> list[ManagedProcess]:
        """The processes of both installations."""
        return [*self.limn.processes, *(self.neighbour.processes if self.neighbour else ())]

    @cached_property
    def simulator_log(self) -> Log:
        """The simulator's log, read from its file. It says what fal received and did, independently of Limn."""
        return self._stack.enter_context(closing(Log(self.folder / "simulator" / "log.sqlite3")))

    @property
    def failpoint_file(self) -> Path:
        return self.folder / "failpoints"

    def control_simulator(self, command: str, **arguments: Any) -> None:
        """Send a command to the simulator's control API: `always`, `clear`, `jwks`, `rotate`, `call_again`, …"""
        requests.post(f"{self.simulator_url}/_simulator/{command}", json=arguments, timeout=20).raise_for_status()

    def keep_running(self, stop: threading.Event) -> None:
        """Restart processes that have ended, as a service manager does, until `stop` is set."""
        while not stop.wait(0.5):
            for process in self.limn_processes:
                process.restart_if_ended()

    def is_ready(self) -> bool:
        return self.limn.is_ready() and (self.neighbour is None or self.neighbour.is_ready())

    def _start_services(self) -> None:
        self._postgres_proxy, s3_proxy, fal_proxy, simulator, postgres = (free_port() for _ in range(5))
        self.simulator_url = f"http://127.0.0.1:{simulator}"
        self.postgres = Postgres(self.folder / "postgresql", postgres)
        self._stack.callback(self.postgres.stop)
        self.postgres.administer(f"CREATE ROLE {ROLE} LOGIN")
        self.bucket = self._stack.enter_context(seaweed()).bucket()
        command = ["-m", "simulator", "--port", str(simulator), "--speed", str(SIMULATOR_SPEED), "--quiet"]
        command += ["--data-dir", str(self.folder / "simulator"), "--public-url", f"http://127.0.0.1:{fal_proxy}"]
        self._stack.callback(ManagedProcess("simulator", command, {}, self.folder).stop)
        simulator_variables = f"{self.simulator_url}/_simulator/environment"
        until(lambda: local_http.status(simulator_variables) == 200, what="the simulator")
        self.proxies = {
            "S3": self._start_proxy(s3_proxy, int(self.bucket.endpoint_url.rpartition(":")[2])),
            "fal": self._start_proxy(fal_proxy, simulator),
        }
        # Later entries win: the simulator offers a complete environment, of which the run replaces some variables.
        self.variables |= {
            **dict.fromkeys(CLEARED_VARIABLES, ""),
            **SECRETS,
            **local_http.read_json(simulator_variables),
            **Bucket(name=self.bucket.name, endpoint_url=f"http://127.0.0.1:{s3_proxy}").environment,
            # The load is the test's own matter.
            **dict.fromkeys(UNLIMITED, "0"),
            "LIMN_TIME_SCALE": f"{self.time_scale:g}",
            "LIMN_FAILPOINTS": str(self.failpoint_file),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }

    def _start_limn(self) -> None:
        topology = self.plan.topology
        self.failpoint_file.write_text(self.plan.failpoint_file)
        self.limn = self._install("", database="limn", workers=topology.workers)
        # This process reads the database itself, without the proxy and as the superuser: its checks go on while faults
        # disturb Limn.
        os.environ |= {**self.limn.direct_variables, "DATABASE_URL": self.postgres.url_of(self.limn.database)}
        del os.environ["LIMN_FAILPOINTS"]
        self.limn.start(self._stack)
        if topology.has_neighbour:
            self.neighbour = self._install("neighbour-", database="neighbour", workers=1)
            self.neighbour.start(self._stack)
        until(self.is_ready, what="Limn")

    def _install(self, name: str, *, database: str, workers: int) -> Installation:
        """Create the database and the tables of an installation."""
        self.postgres.create_database(database, owner=ROLE)
        is_main, port = not name, free_port()
        direct_url = url = self.postgres.url_of(database, ROLE)
        if is_main:
            # Faults of the network strike between Limn and PgBouncer, where there is one.
            behind = url
            if self.plan.topology.has_pgbouncer:
                limits = (f"ALTER ROLE {ROLE} SET {name} = '{limit}'" for name, limit in SESSION_LIMITS.items())
                self.postgres.administer(*limits)
                behind = self._stack.enter_context(pgbouncer(url))
            self.proxies["PostgreSQL"] = self._start_proxy(self._postgres_proxy, urlsplit(behind).port or 0)
            url = f"postgresql://{ROLE}@127.0.0.1:{self._postgres_proxy}/{database}"
        variables = {
            **self.variables,
            "SITE_URL": f"http://127.0.0.1:{port}",
            "DATA_DIR": str(self.folder / f"{name}data"),
            "STORAGE_PREFIX": "" if is_main else NEIGHBOUR_PREFIX,
        }
        installation = Installation(
            name=name,
            database=database,
            port=port,
            workers=workers,
            variables={**variables, "DATABASE_URL": url},
            direct_variables={**os.environ, **variables, "DATABASE_URL": direct_url},
            folder=self.folder,
        )
        installation.run_command("migrate", "--verbosity", "0")
        return installation

    def _start_proxy(self, port: int, target: int) -> Proxy:
        proxy = Proxy(port, target)
        self._stack.callback(proxy.stop)
        return proxy
