"""How answers slow down while the tables grow: the same requests with a thousand and with a million generations.

Both installations run side by side, and the requests alternate. No worker runs while is measured. `growth_data`
describes how the rows are made; `manage.py check_invariants` examines the larger database first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import psycopg

from quality.benchmarks import fal_server, growth_data, http_load
from quality.benchmarks.environment import Environment
from quality.benchmarks.installation import Limn
from quality.benchmarks.options import Options
from quality.benchmarks.pages import log_in
from quality.benchmarks.results import Aim, Result

GROWTH_MAX = 1.2
# The user of the first key, who has half of all generations.
HEAVY_USER = 0
METRICS_SECONDS_MAX = 600.0


@dataclass
class Installation:
    """One size of the database, and what its requests need."""

    environment: Environment
    limn: Limn
    generation_id: str
    cookie: str
    """Of the pages of the heavy user."""
    old_entry: int
    """The id of an entry on the last page of that user's statement."""
    jobs: list[tuple[str, str]] = field(default_factory=list)
    """The webhook URL and the request id of jobs that wait for their callback."""


Requests = Callable[[Installation, int], list[bytes]]


def measure(environment: Environment, options: Options) -> list[Result]:
    """Fill both databases, then measure each kind of request of both alternately."""
    small, large = options.growth_from, options.growth_to
    results = {
        name: Result(
            row="growth",
            what=f"{name} with {large:,} generations",
            unit="ms",
            against=f"with {small:,}",
            aim=Aim(of="ratio", comparison="≤", limit=GROWTH_MAX),
        )
        for name in [*REQUESTS, "first scrape of metrics"]
    }
    with ExitStack() as stack:
        installations = []
        for name, size in (("small", small), ("large", large)):
            began = time.perf_counter()
            limn = stack.enter_context(environment.limn(environment.limn_database(name), workers=1))
            growth_data.fill(environment, limn, small, size)
            print(f"  {size:,} generations after {time.perf_counter() - began:.0f} s", flush=True)
            catch_up(limn, options.growth_settle_seconds)
            # What is measured is the web server alone.
            limn.stop_workers()
            if name == "large":
                check(environment, limn.database_url)
            installations.append(prepared(environment, limn, options))
        # The first round only warms up: it fills caches of the database and opens connections.
        for number in range(options.alternations + 1):
            for name, requests in REQUESTS.items():
                for installation, values in zip(installations, (results[name].other, results[name].limn), strict=True):
                    milliseconds = _median(installation, requests(installation, options.growth_requests))
                    if number:
                        values.append(milliseconds)
    first = results["first scrape of metrics"]
    for _ in range(options.alternations):
        for name, values in (("small", first.other), ("large", first.limn)):
            values.append(first_scrape(environment, name))
    return list(results.values())


def catch_up(limn: Limn, seconds: float) -> None:
    """Let the worker see the database for a while, so that what it adds up in the background is up to date."""
    deadline = time.monotonic() + METRICS_SECONDS_MAX
    scrape = [http_load.request("GET", "/metrics", {})]
    while not http_load.closed_loop(limn.port, scrape, connections=1).statuses[200]:
        if time.monotonic() > deadline:
            raise http_load.LoadError(f"/metrics is not ready after {METRICS_SECONDS_MAX:g} s")
        time.sleep(1)
    time.sleep(seconds)


def check(environment: Environment, url: str) -> None:
    """Check that the rows are such as the product writes them."""
    for command in ("audit_ledger", "check_invariants"):
        subprocess.run(
            [sys.executable, "manage.py", command],
            cwd=environment.root,
            env={**os.environ, **environment.variables(url), "SITE_URL": "http://127.0.0.1"},
            check=True,
        )


def prepared(environment: Environment, limn: Limn, options: Options) -> Installation:
    """Return what the requests to an installation need."""
    listed = json.loads(http_load.fetch(limn.port, limn.request("GET", "/api/v1/generations/?status=completed")))
    environment.fal.behave(callback_seconds=-1)
    environment.fal.forget()
    count = options.growth_requests * (options.alternations + 1)
    orders = [limn.order(number) for number in range(count)]
    http_load.closed_loop(limn.port, orders, connections=8, expected=(202,))
    jobs = [(job["webhook_url"], job["request_id"]) for job in environment.fal.jobs()]
    user = environment.users[HEAVY_USER]
    return Installation(
        environment=environment,
        limn=limn,
        generation_id=listed["results"][0]["id"],
        cookie=log_in(limn.port, user.username, user.password),
        old_entry=_old_entry(limn, user.username),
        jobs=jobs,
    )


def _old_entry(limn: Limn, username: str) -> int:
    """Return the id of an entry near the end of a user's statement."""
    statement = """
        SELECT entry.id FROM credits_entry entry JOIN credits_account account ON account.id = entry.account_id
        JOIN auth_user ON auth_user.id = account.user_id WHERE username = %s ORDER BY entry.id OFFSET 60 LIMIT 1
    """
    with psycopg.connect(limn.database_url) as connection:
        row = connection.execute(statement, [username]).fetchone()
    return int(row[0]) if row else 1


def first_scrape(environment: Environment, name: str) -> float:
    """Return how many milliseconds Prometheus waits for the metrics of a server that has just started."""
    url = environment.postgres.url.rpartition("/")[0] + f"/{name}"
    with environment.limn(url) as limn:
        began = time.perf_counter()
        scrape = [http_load.request("GET", "/metrics", {})]
        # A process that is still adding up older rows answers 503 and is scraped again: that time counts too.
        while not http_load.closed_loop(limn.port, scrape, connections=1).statuses[200]:
            time.sleep(0.05)
        return 1000 * (time.perf_counter() - began)


def _median(installation: Installation, requests: list[bytes]) -> float:
    load = http_load.closed_loop(installation.limn.port, requests, connections=1, expected=(200, 202))
    if load.statuses[503]:
        raise http_load.LoadError(f"{load.statuses[503]} requests were answered with 503")
    return load.percentile(50)


def _read(path: str) -> Requests:
    def requests(installation: Installation, count: int) -> list[bytes]:
        found = path.replace("<id>", installation.generation_id)
        return [installation.limn.request("GET", found, HEAVY_USER)] * count

    return requests


def _page(path: str) -> Requests:
    def requests(installation: Installation, count: int) -> list[bytes]:
        found = path.replace("<entry>", str(installation.old_entry))
        return [http_load.request("GET", found, {"Cookie": installation.cookie})] * count

    return requests


def _orders(installation: Installation, count: int) -> list[bytes]:
    return [installation.limn.order(HEAVY_USER) for _ in range(count)]


def _callbacks(installation: Installation, count: int) -> list[bytes]:
    """Return callbacks that were not sent before, signed now: a signature is valid for five minutes."""
    fal = installation.environment.fal
    state = fal_server.State(f"http://127.0.0.1:{fal.port}", fal.signer)
    taken, installation.jobs = installation.jobs[:count], installation.jobs[count:]
    return [state.callback(fal_server.Job(request_id, url, 0)) for url, request_id in taken]


REQUESTS: dict[str, Requests] = {
    "order": _orders,
    "callback": _callbacks,
    "status": _read("/api/v1/generations/<id>/"),
    "list of 20": _read("/api/v1/generations/?limit=20"),
    "list of failed": _read("/api/v1/generations/?status=failed&limit=20"),
    # As many as the smaller database has.
    "list by metadata": _read("/api/v1/generations/?metadata.campaign=c1&limit=10"),
    "statement": _page("/credits/"),
    "statement, last page": _page("/credits/?before=<entry>"),
    "scrape of metrics": _read("/metrics"),
}
