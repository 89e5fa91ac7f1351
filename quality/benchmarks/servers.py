"""Compares web servers for synchronous Django: `make bench`. Decides docs/decisions/0004-web-server.md."""

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

from config.management import local_http, subprocesses
from config.management.ports import free_port

ROUNDS, SECONDS, CONNECTIONS = 3, 4.0, 16

SERVERS: dict[str, Callable[[int], list[str]]] = {
    "gunicorn gthread, 2 × 8": lambda port: [
        *("-m", "gunicorn", "--worker-class", "gthread", "--workers", "2", "--threads", "8"),
        *(
            "--log-level",
            "error",
            "--no-control-socket",
            "--bind",
            f"127.0.0.1:{port}",
            "quality.benchmarks.wsgi:application",
        ),
    ],
    "granian WSGI, 2 × 8": lambda port: [
        *("-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "2"),
        *(
            "--blocking-threads",
            "8",
            "--workers-kill-timeout",
            "2",
            "--log-level",
            "error",
            "--port",
            str(port),
            "quality.benchmarks.wsgi:application",
        ),
    ],
    "granian WSGI, 2 × 2": lambda port: [
        *("-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "2"),
        *(
            "--blocking-threads",
            "2",
            "--workers-kill-timeout",
            "2",
            "--log-level",
            "error",
            "--port",
            str(port),
            "quality.benchmarks.wsgi:application",
        ),
    ],
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    per_second: float
    p99_ms: float


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="limn-bench-") as folder:
        environment = {**os.environ, "DATA_DIR": folder, "SECRET_KEY": "only-for-benches-" * 2}
        _prepare(environment)
        # Round by round, so that a busy minute of the machine hits all of them alike.
        rounds = [{name: _measure(name, environment) for name in SERVERS} for _ in range(ROUNDS)]
    _print({name: [measured[name] for measured in rounds] for name in SERVERS})


def _prepare(environment: dict[str, str]) -> None:
    rows = "from django.contrib.auth.models import Group; [Group.objects.create(name=f'group {n}') for n in range(20)]"
    for command in (["migrate", "--verbosity", "0"], ["shell", "--verbosity", "0", "-c", rows]):
        subprocess.run([sys.executable, "manage.py", *command], env=environment, check=True)


def _measure(name: str, environment: dict[str, str]) -> Measured:
    port = free_port()
    server = subprocesses.start(
        [sys.executable, *SERVERS[name](port)], environment=environment, output=subprocess.DEVNULL
    )
    try:
        while local_http.status(f"http://127.0.0.1:{port}/rows/") != 200:
            if server.poll() is not None:
                raise RuntimeError(f"{name} ended with status {server.returncode}. Run it by hand to see why.")
            time.sleep(0.05)
        _load(port, seconds=1.0)
        return _summed_up(_load(port, seconds=SECONDS))
    finally:
        subprocesses.stop(server, within_seconds=10)


def _load(port: int, *, seconds: float) -> list[float]:
    """How long each request took, over all connections."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        taken = pool.map(lambda _: _one_visitor(port, time.perf_counter() + seconds), range(CONNECTIONS))
        return [duration for durations in taken for duration in durations]


def _one_visitor(port: int, until: float) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    taken = []
    while (begun := time.perf_counter()) < until:
        connection.request("GET", "/rows/")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"The server answered {answer.status}.")
        taken.append(time.perf_counter() - begun)
    connection.close()
    return taken


def _summed_up(taken: list[float]) -> Measured:
    return Measured(per_second=len(taken) / SECONDS, p99_ms=1000 * statistics.quantiles(taken, n=100)[98])


def _print(measured: dict[str, list[Measured]]) -> None:
    first = statistics.median(one.per_second for one in next(iter(measured.values())))
    print(f"{'':26} requests/s   ratio   p99 ms   (median of {ROUNDS}, {CONNECTIONS} connections)")
    for name, rounds in measured.items():
        per_second = statistics.median(one.per_second for one in rounds)
        p99 = statistics.median(one.p99_ms for one in rounds)
        print(f"{name:26} {per_second:10.0f} {per_second / first:7.2f} {p99:8.1f}")


if __name__ == "__main__":
    main()
