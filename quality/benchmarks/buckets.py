"""Compares the limit of requests in the database with one in Redis: the CPU time of a request in all processes.

`python -m quality.benchmarks.buckets` prints the figures of decision 6. Users send as many requests as the
default limit allows for long, because the buckets are asked most often then.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil

from quality.benchmarks import http_load
from quality.benchmarks.environment import USERS, Environment, cpu_seconds
from quality.benchmarks.results import spread
from tests.services.redis import redis_server

ALTERNATIONS = 5
SECONDS = 8
PER_USER = 6
LIMIT_PER_MINUTE = "600"


def main() -> None:
    """Measure both sides alternately, and print the figures."""
    found: dict[str, list[float]] = {"database": [], "Redis": []}
    with tempfile.TemporaryDirectory(prefix="limn-bench-") as name, redis_server() as redis_url:
        folder = Path(name)
        # PostgreSQL runs as a user without privileges, which has to reach its folder.
        folder.chmod(0o755)
        with Environment(folder) as environment:
            for _ in range(ALTERNATIONS):
                for side, url in {"database": "", "Redis": redis_url}.items():
                    found[side].append(measure(environment, url))
    print(f"CPU of a request, ms; load {os.getloadavg()[0]:.1f}")
    for side, values in found.items():
        print(f"{side}: {spread(values)}")


def measure(environment: Environment, redis_url: str) -> float:
    """Return the CPU time of a request in milliseconds."""
    changes = {"REDIS_URL": redis_url, "USER_REQUESTS_PER_MINUTE": LIMIT_PER_MINUTE}
    with environment.limn(environment.limn_database("buckets"), web=1, **changes) as limn:
        requests = [limn.request("GET", "/api/v1/credits/", number) for number in range(SECONDS * PER_USER * USERS)]
        http_load.open_loop(limn.port, requests[: 4 * USERS], per_second=PER_USER * USERS, expected=(200,))
        pids = [process.pid for group in limn.groups.values() for process in group]
        pids += [environment.postgres.pid, *(e.pid for e in psutil.Process().children() if "redis" in e.name())]
        before = cpu_seconds(*pids)
        load = http_load.open_loop(limn.port, requests, per_second=PER_USER * USERS, expected=(200,))
        return 1000 * (cpu_seconds(*pids) - before) / len(load.durations)


if __name__ == "__main__":
    main()
