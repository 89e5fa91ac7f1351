"""Everything that runs: PostgreSQL, SeaweedFS, the simulator, proxies before all three, and Limn itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from config.management import loopback
from config.management.ports import free_port
from quality.chaos.postgres import Postgres
from quality.chaos.processes import ROOT, Program
from quality.chaos.proxy import Proxy
from simulator.log import Log
from tests.services.seaweed import Bucket, seaweed

if TYPE_CHECKING:
    from collections.abc import Sequence

# Two cores that others use too may need a minute to start four Djangos.
START_SECONDS_MAX = 120.0
SIMULATOR_SPEED = 10
SECRETS = {"SECRET_KEY": "only-for-the-soak-test-" * 2}


@dataclass
class Town:
    """Use it as a context manager. `limn` are its programs, the web first."""

    folder: Path
    time_scale: float
    workers: int
    failpoints: str
    environment: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Town:
        self._open = ExitStack()
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def web(self) -> Program:
        return self.limn[0]

    @property
    def log(self) -> Log:
        """fal's own log, read from its file: the outside world is the judge."""
        return self._open.enter_context(_Opened(self.folder / "simulator" / "log.sqlite3")).log

    def order_fal(self, name: str, **order: Any) -> None:
        """One of the simulator's orders: script, always, jwks, rotate, call_again …"""
        requests.post(f"{self.fal_url}/_simulator/{name}", json=order, timeout=20).raise_for_status()

    @property
    def plan_of_failpoints(self) -> Path:
        return self.folder / "failpoints"

    def revive(self) -> None:
        """Whatever has ended by itself, or was made to, is started again."""
        for program in self.limn:
            program.keep_alive()

    def is_ready(self) -> bool:
        return loopback.status(f"{self.site_url}/health/ready") == 200

    def _start(self) -> None:
        site, postgres_proxy, s3_proxy, fal_proxy, simulator, postgres = (free_port() for _ in range(6))
        self.site_url, self.fal_url = f"http://127.0.0.1:{site}", f"http://127.0.0.1:{simulator}"
        self.postgres = Postgres(self.folder / "postgresql", postgres)
        self._open.callback(self.postgres.stop)
        self.bucket = self._open.enter_context(seaweed()).bucket()
        self._start_simulator(simulator, public_url=f"http://127.0.0.1:{fal_proxy}")
        s3_port = int(self.bucket.endpoint_url.rpartition(":")[2])
        self.proxies = {
            "PostgreSQL": self._proxy(postgres_proxy, postgres),
            "S3": self._proxy(s3_proxy, s3_port),
            "fal": self._proxy(fal_proxy, simulator),
        }
        self.environment |= self._settings(s3_proxy)
        self._prepare(postgres)
        database_url = f"postgresql://limn@127.0.0.1:{postgres_proxy}/postgres"
        spoilt = {"DATABASE_URL": database_url, "LIMN_FAILPOINTS": str(self.plan_of_failpoints)}
        self.plan_of_failpoints.write_text(self.failpoints)
        self._start_limn({**self.environment, **spoilt}, site)

    def _proxy(self, port: int, target: int) -> Proxy:
        proxy = Proxy(port, target)
        self._open.callback(proxy.stop)
        return proxy

    def _start_simulator(self, port: int, *, public_url: str) -> None:
        command = ["-m", "simulator", "--port", str(port), "--speed", str(SIMULATOR_SPEED), "--quiet"]
        command += ["--data-dir", str(self.folder / "simulator"), "--public-url", public_url]
        self.simulator = self._program("simulator", command, {})
        until(lambda: loopback.status(f"{self.fal_url}/_simulator/environment") == 200, "the simulator")

    def _settings(self, s3_proxy: int) -> dict[str, str]:
        bucket = Bucket(name=self.bucket.name, endpoint_url=f"http://127.0.0.1:{s3_proxy}")
        return {
            **SECRETS,
            **loopback.read_json(f"{self.fal_url}/_simulator/environment"),
            **bucket.environment,
            "DATABASE_URL": self.postgres.url,
            "DATA_DIR": str(self.folder / "data"),
            "SITE_URL": self.site_url,
            "LIMN_TIME_SCALE": f"{self.time_scale:g}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }

    def _prepare(self, postgres: int) -> None:
        """The tables; and this very process may ask the database, past all proxies."""
        os.environ |= self.environment
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, check=True, env=os.environ)

    def _start_limn(self, environment: dict[str, str], port: int) -> None:
        serve = ["manage.py", "serve", "--port", str(port), "--workers", "2"]
        self.limn = [self._program("web", serve, environment)]
        for number in range(self.workers):
            self.limn.append(self._program(f"worker{number}", ["manage.py", "work"], environment))
        until(self.is_ready, "Limn")

    def _program(self, name: str, command: Sequence[str], environment: dict[str, str]) -> Program:
        program = Program(name, command, environment, self.folder)
        self._open.callback(program.stop)
        return program


class _Opened:
    """A simulator's log as a context manager."""

    def __init__(self, path: Path) -> None:
        self.log = Log(path)

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()


def until(condition: Any, what: str, seconds_max: float = START_SECONDS_MAX) -> None:
    """Raises TimeoutError when it does not come true in time."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: in vain for {seconds_max:g} s")
        time.sleep(0.1)
