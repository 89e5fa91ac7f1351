"""Compares engines behind Django Tasks: how fast their messages wake a loop, and what that costs.

`make bench ARGS=engines` prints the table of decision 6. Each engine runs all of Limn, alternately.
The engines that Limn does not use are installed from PyPI into a folder of the benchmark.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from quality.benchmarks import http_load
from quality.benchmarks.environment import Environment, cpu_seconds
from quality.benchmarks.installation import Limn
from quality.benchmarks.results import spread
from quality.benchmarks.rows import idle, latency
from quality.chaos.processes import ROOT
from tests.services.redis import redis_server
from tests.services.waiting import until

ENGINES = (
    "Huey, PostgreSQL",
    "Huey, Redis",
    "Huey, SQLite",
    "procrastinate",
    "django-tasks-db",
    "polling, 1 s",
    "polling, 50 ms",
)
PACKAGES = ("procrastinate>=3.10,<4", "django-tasks-db>=0.13,<1")
ALTERNATIONS = 3
JOBS = 30
FILE_BYTES = 20_000
# Low, so that a loop is idle when a callback comes: the latency of a message is measured, not the wait for a processor.
JOBS_PER_SECOND = 2.0
BATCHES = 12
IDLE_SECONDS = 15.0
SETTLE_SECONDS = 6.0
CREATE_PROCRASTINATE = """
import os, procrastinate
connector = procrastinate.SyncPsycopgConnector(conninfo=os.environ["DATABASE_URL"])
with procrastinate.App(connector=connector).open() as app:
    app.schema_manager.apply_schema()
"""


@dataclass
class Figures:
    """What was measured of one engine; one value for each alternation."""

    completed_p50: list[float] = field(default_factory=list)
    """Milliseconds from the callback to COMPLETED."""
    completed_p99: list[float] = field(default_factory=list)
    posted_p50: list[float] = field(default_factory=list)
    """Milliseconds from the order of a batch to its first POST, which a loop makes."""
    posted_p99: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """CPU time of a job in the processes of Limn, PostgreSQL and Redis."""
    idle_percent: list[float] = field(default_factory=list)
    """Of a processor, by `manage.py work` without work."""
    idle_statements: list[float] = field(default_factory=list)
    """Statements a second in PostgreSQL without work."""

    def columns(self) -> list[str]:
        values = (
            self.completed_p50,
            self.completed_p99,
            self.posted_p50,
            self.posted_p99,
            self.cpu_ms,
            self.idle_percent,
            self.idle_statements,
        )
        return [spread(each) for each in values]


HEADINGS = (
    "Engine",
    "callback → COMPLETED, p50 ms",
    "p99 ms",
    "batch → POST, p50 ms",
    "p99 ms",
    "CPU of a job, ms",
    "idle, % of a core",
    "idle, statements/s",
)


def main() -> None:
    """Measure all engines and print the table."""
    figures = {engine: Figures() for engine in ENGINES}
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="limn-bench-") as name, ExitStack() as services:
        folder = Path(name)
        # PostgreSQL runs as a user without privileges, which has to reach its folder.
        folder.chmod(0o755)
        _install(folder / "packages")
        environment = services.enter_context(Environment(folder))
        redis_url = services.enter_context(redis_server())
        for alternation in range(ALTERNATIONS):
            for engine in ENGINES:
                print(f"{time.strftime('%H:%M:%S')} {engine}", flush=True)
                with _limn(environment, engine, redis_url) as limn:
                    measure(environment, limn, figures[engine], is_idle_measured=alternation == 0)
    print(f"\n{ALTERNATIONS} alternations; load {load[0]:.1f} before and {os.getloadavg()[0]:.1f} after\n")
    print("| " + " | ".join(HEADINGS) + " |\n|" + "---|" * len(HEADINGS))
    for engine, found in figures.items():
        print("| " + " | ".join([engine, *found.columns()]) + " |")


def measure(environment: Environment, limn: Limn, figures: Figures, *, is_idle_measured: bool) -> None:
    """Measure one engine once."""
    environment.fal.behave(file_bytes=FILE_BYTES)
    latency.callback_to_completed(environment, limn, 8, JOBS_PER_SECOND)  # Warms up.
    pids = [process.pid for group in limn.groups.values() for process in group]
    pids += [environment.postgres.pid, *(each.pid for each in psutil.Process().children() if "redis" in each.name())]
    before = cpu_seconds(*pids)
    completed = latency.callback_to_completed(environment, limn, JOBS, JOBS_PER_SECOND)
    figures.cpu_ms.append(1000 * (cpu_seconds(*pids) - before) / JOBS)
    figures.completed_p50.append(completed.percentile(50))
    figures.completed_p99.append(completed.percentile(99))
    posted = http_load.Load(durations=[_place_batch(environment, limn) for _ in range(BATCHES)])
    figures.posted_p50.append(posted.percentile(50))
    figures.posted_p99.append(posted.percentile(99))
    if is_idle_measured:
        limn.wait_for_completed(8 + JOBS + BATCHES)
        time.sleep(SETTLE_SECONDS)
        work = limn.groups["work"][0].pid
        before, began = cpu_seconds(work), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        figures.idle_percent.append(100 * (cpu_seconds(work) - before) / (time.perf_counter() - began))
        figures.idle_statements.append(len(idle.logged_statements(environment, IDLE_SECONDS)) / IDLE_SECONDS)


def _place_batch(environment: Environment, limn: Limn) -> float:
    """Order a batch of one. Returns the seconds until fal has its POST."""
    environment.fal.forget()
    inputs = [{"prompt": f"a lighthouse, {time.time_ns()}"}]
    body = json.dumps({"model": "flux-schnell", "inputs": inputs}).encode()
    message = limn.request("POST", "/api/v1/batches/", body=body)
    began = time.time()
    http_load.fetch(limn.port, message, expected=(202,))
    (job,) = until(environment.fal.jobs, what="the POST of a batch")
    return float(job["accepted_at"]) - began


@contextmanager
def _limn(environment: Environment, engine: str, redis_url: str) -> Iterator[Limn]:
    """Run Limn with this engine on a new database."""
    url = environment.limn_database("engine")
    changes = {
        "DJANGO_SETTINGS_MODULE": "quality.benchmarks.engine_settings",
        "BENCHMARK_ENGINE": engine,
        "REDIS_URL": redis_url if engine == "Huey, Redis" else "",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(environment.folder / "packages")]),
    }
    _prepare(engine, environment.variables(url) | changes)
    with environment.limn(url, web=1, workers=1, **changes) as limn:
        until(lambda: _has_heartbeat(limn), what="the worker")
        yield limn


def _prepare(engine: str, variables: Mapping[str, str]) -> None:
    """Create the tables of the engine."""
    if engine == "django-tasks-db":
        command = ["manage.py", "migrate", "--verbosity", "0", "django_tasks_database"]
    elif engine == "procrastinate":
        command = ["-c", CREATE_PROCRASTINATE]
    else:
        return
    environment = {**os.environ, **variables, "SITE_URL": "http://127.0.0.1"}
    subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True)


def _has_heartbeat(limn: Limn) -> bool:
    with psycopg.connect(limn.database_url) as connection:
        return connection.execute("SELECT 1 FROM generations_heartbeat WHERE name = 'worker'").fetchone() is not None


def _install(folder: Path) -> None:
    """Install the other engines beside Limn's own packages, whose versions stay."""
    uv = shutil.which("uv") or str(ROOT / ".tool/bin/uv")
    options = ["--python", sys.executable, "--target", str(folder), "--constraint", str(ROOT / "requirements.lock")]
    subprocess.run([uv, "pip", "install", "--quiet", *options, *PACKAGES], check=True)


if __name__ == "__main__":
    main()
