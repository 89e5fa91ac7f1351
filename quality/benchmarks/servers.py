"""Compares web servers for synchronous Django: `make bench ARGS=servers`.

docs/decisions/0004-web-server.md uses the result.
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from config.management import local_http, subprocesses
from config.management.ports import free_port

ROUNDS, SECONDS, CONNECTIONS = 3, 4.0, 16
WARM_UP_SECONDS = 1.0
APPLICATION = "quality.benchmarks.wsgi:application"


def gunicorn(port: int) -> list[str]:
    """Return the arguments of Python that start gunicorn with 2 processes of 8 threads."""
    return [
        *("-m", "gunicorn", "--worker-class", "gthread", "--workers", "2", "--threads", "8"),
        *("--log-level", "error", "--no-control-socket", "--bind", f"127.0.0.1:{port}", APPLICATION),
    ]


def granian(port: int, *, threads: int) -> list[str]:
    """Return the arguments of Python that start granian with 2 processes."""
    return [
        *("-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "2"),
        *("--blocking-threads", str(threads), "--workers-kill-timeout", "2"),
        *("--log-level", "error", "--port", str(port), APPLICATION),
    ]


SERVERS: dict[str, Callable[[int], list[str]]] = {
    "gunicorn gthread, 2 × 8": gunicorn,
    "granian WSGI, 2 × 8": partial(granian, threads=8),
    "granian WSGI, 2 × 2": partial(granian, threads=2),
}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One round of one server."""

    requests_per_second: float
    p99_milliseconds: float


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="limn-benchmark-") as folder:
        environment = {**os.environ, "DATA_DIR": folder, "SECRET_KEY": "only-for-benchmarks-" * 2}
        rows = "from django.contrib.auth.models import Group; "
        rows += "[Group.objects.create(name=f'group {n}') for n in range(20)]"
        for command in (["migrate", "--verbosity", "0"], ["shell", "--verbosity", "0", "-c", rows]):
            subprocess.run([sys.executable, "manage.py", *command], env=environment, check=True)
        # Round by round, so that a busy minute of the machine affects all servers alike.
        rounds = [{name: measure(name, environment) for name in SERVERS} for _ in range(ROUNDS)]
    print(f"{'':26} requests/s   ratio   p99 ms   (median of {ROUNDS}, {CONNECTIONS} connections)")
    baseline = 0.0
    for name in SERVERS:
        rate = statistics.median(measured[name].requests_per_second for measured in rounds)
        p99 = statistics.median(measured[name].p99_milliseconds for measured in rounds)
        baseline = baseline or rate
        print(f"{name:26} {rate:10.0f} {rate / baseline:7.2f} {p99:8.1f}")


def measure(name: str, environment: dict[str, str]) -> Measurement:
    """Start one server, load it for `SECONDS` and stop it."""
    port = free_port()
    server = subprocesses.start(
        [sys.executable, *SERVERS[name](port)], environment=environment, output=subprocess.DEVNULL
    )
    try:
        while local_http.status(f"http://127.0.0.1:{port}/rows/") != 200:
            if server.poll() is not None:
                raise RuntimeError(f"{name} exited with status {server.returncode}. Start it by hand to see why.")
            time.sleep(0.05)
        # The first requests open connections to the database and compile URL patterns.
        load(port, seconds=WARM_UP_SECONDS)
        durations = load(port, seconds=SECONDS)
    finally:
        subprocesses.stop(server, within_seconds=10)
    return Measurement(
        requests_per_second=len(durations) / SECONDS,
        p99_milliseconds=1000 * statistics.quantiles(durations, n=100)[98],
    )


def load(port: int, *, seconds: float) -> list[float]:
    """Send requests over all connections at once. Returns the duration of each request in seconds."""

    def send_requests() -> list[float]:
        until = time.perf_counter() + seconds
        # One connection for all requests, as a reverse proxy keeps it.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        durations = []
        while (started := time.perf_counter()) < until:
            connection.request("GET", "/rows/")
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"The server answered {response.status}.")
            durations.append(time.perf_counter() - started)
        connection.close()
        return durations

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        results = pool.map(lambda _: send_requests(), range(CONNECTIONS))
        return [duration for durations in results for duration in durations]


if __name__ == "__main__":
    main()
