"""Starts everything that a chaos run needs: PostgreSQL, SeaweedFS, the simulator, three proxies, and Limn itself.

Limn reaches PostgreSQL, S3 and the simulator through the proxies, so that the fault injector can disturb each
connection. The process of the run itself connects to them directly.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from config.management import local_http
from config.management.ports import free_port
from quality.chaos.postgres import Postgres
from quality.chaos.processes import ROOT, ManagedProcess
from quality.chaos.proxy import Proxy
from simulator.log import Log
from tests.services.seaweed import Bucket, seaweed
from tests.services.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence

SIMULATOR_SPEED = 10
SECRETS = {"SECRET_KEY": "only-for-chaos-runs-" * 2}
# Variables of a developer's shell or .env file that must not reach the run.
CLEARED_VARIABLES = ("REDIS_URL", "ALLOWED_HOSTS", "EMAIL_URL", "MEDIA_ROOT", "DEBUG", "LOG_LEVEL", "PORT")


@dataclass
class Environment:
    """A context manager: everything is started on entry and stopped on exit.

    Entering it also sets this process's environment variables, so that Django can be set up afterwards.
    """

    folder: Path
    """For databases, logs and files."""
    time_scale: float
    workers: int
    failpoints: str
    """The content of the failpoint file, see `FaultPlan.failpoint_file`."""
    variables: dict[str, str] = field(default_factory=dict)
    """Limn's environment variables, without the proxy of the database."""

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
        return [self.web, *self.worker_processes]

    @cached_property
    def simulator_log(self) -> Log:
        """The simulator's log, read from its file. It says what fal received and did, independently of Limn."""
        return self._stack.enter_context(closing(Log(self.folder / "simulator" / "log.sqlite3")))

    @property
    def failpoint_file(self) -> Path:
        return self.folder / "failpoints"

    def control_simulator(self, command: str, **arguments: Any) -> None:
        """Send a command to the simulator's control API: `always`, `clear`, `jwks`, `rotate`, `call_again`, …"""
        requests.post(f"{self._simulator_url}/_simulator/{command}", json=arguments, timeout=20).raise_for_status()

    def keep_running(self, stop: threading.Event) -> None:
        """Restart processes that have ended, as a service manager does, until `stop` is set."""
        while not stop.wait(0.5):
            for process in self.limn_processes:
                process.restart_if_ended()

    def is_ready(self) -> bool:
        return local_http.status(f"{self.site_url}/health/ready") == 200

    def _start_services(self) -> None:
        site, self._postgres_proxy, s3_proxy, fal_proxy, simulator, postgres = (free_port() for _ in range(6))
        self.site_url, self._simulator_url = f"http://127.0.0.1:{site}", f"http://127.0.0.1:{simulator}"
        self.postgres = Postgres(self.folder / "postgresql", postgres)
        self._stack.callback(self.postgres.stop)
        self.bucket = self._stack.enter_context(seaweed()).bucket()
        command = ["-m", "simulator", "--port", str(simulator), "--speed", str(SIMULATOR_SPEED), "--quiet"]
        command += ["--data-dir", str(self.folder / "simulator"), "--public-url", f"http://127.0.0.1:{fal_proxy}"]
        self._start_process("simulator", command, {})
        simulator_variables = f"{self._simulator_url}/_simulator/environment"
        until(lambda: local_http.status(simulator_variables) == 200, what="the simulator")
        self.proxies = {
            "PostgreSQL": self._start_proxy(self._postgres_proxy, postgres),
            "S3": self._start_proxy(s3_proxy, int(self.bucket.endpoint_url.rpartition(":")[2])),
            "fal": self._start_proxy(fal_proxy, simulator),
        }
        # Later entries win: the simulator offers a complete environment, of which the run replaces some variables.
        self.variables |= {
            **dict.fromkeys(CLEARED_VARIABLES, ""),
            **SECRETS,
            **local_http.read_json(simulator_variables),
            **Bucket(name=self.bucket.name, endpoint_url=f"http://127.0.0.1:{s3_proxy}").environment,
            "DATABASE_URL": self.postgres.url,
            "DATA_DIR": str(self.folder / "data"),
            "SITE_URL": self.site_url,
            "LIMN_TIME_SCALE": f"{self.time_scale:g}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }

    def _start_limn(self) -> None:
        # This process reads the database itself, without the proxy: its checks go on while the proxy disturbs Limn.
        os.environ |= self.variables
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, check=True)
        self.failpoint_file.write_text(self.failpoints)
        variables = {
            **self.variables,
            "DATABASE_URL": f"postgresql://limn@127.0.0.1:{self._postgres_proxy}/postgres",
            "LIMN_FAILPOINTS": str(self.failpoint_file),
        }
        serve = ["manage.py", "serve", "--port", self.site_url.rpartition(":")[2], "--workers", "2"]
        self.web = self._start_process("web", serve, variables)
        self.worker_processes = [
            self._start_process(f"worker{number}", ["manage.py", "work"], variables) for number in range(self.workers)
        ]
        until(self.is_ready, what="Limn")

    def _start_proxy(self, port: int, target: int) -> Proxy:
        proxy = Proxy(port, target)
        self._stack.callback(proxy.stop)
        return proxy

    def _start_process(self, name: str, command: Sequence[str], variables: dict[str, str]) -> ManagedProcess:
        process = ManagedProcess(name, command, variables, self.folder)
        self._stack.callback(process.stop)
        return process
