"""Limn out of the box: SQLite and a folder for the files, one web process, one worker, eight clients.

It is compared with an older commit.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

from quality.benchmarks import http_load, installation, old_commit
from quality.benchmarks.environment import Environment
from quality.benchmarks.installation import Limn, User
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result
from quality.benchmarks.rows import jobs

OLD_PER_SECOND = 4.7
AIM_PER_SECOND = 25


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure this checkout and the old commit alternately."""
    rate = Result(
        row="sqlite",
        what="SQLite out of the box, jobs",
        unit="per second",
        against=f"commit {old_commit.NAME}",
        # 25 a second where the old commit manages 4.7.
        aim=Aim(of="ratio", comparison="≥", limit=round(AIM_PER_SECOND / OLD_PER_SECOND, 1)),
    )
    refused = Result(
        row="sqlite",
        what=f"orders answered with 503, of {options.sqlite_jobs}",
        unit="orders",
        against=f"commit {old_commit.NAME}",
        has_ratio=False,
        aim=Aim(of="value", comparison="≤", limit=0),
    )
    old = old_commit.exported(environment) if options.old else None
    if options.old and old is None:
        rate.note = f"The history of this repository does not have commit {old_commit.NAME}, so nothing is compared."
    environment.fal.behave(file_bytes=jobs.FILE_BYTES)
    for _ in range(options.alternations):
        for root, rates, refusals in (
            (environment.root, rate.limn, refused.limn),
            (old, rate.other, refused.other),
        ):
            if root is not None:
                per_second, count = jobs_per_second(environment, root, options.sqlite_jobs)
                rates.append(per_second)
                refusals.append(count)
    return [rate, refused]


def jobs_per_second(environment: Environment, root: Path, count: int) -> tuple[float, int]:
    """Run a new installation of a checkout. Returns its jobs per second, and how many orders got 503."""
    # No database and no bucket: what `make run` uses in an empty folder.
    variables = {**environment.variables(""), **dict.fromkeys(environment.bucket.environment, "")}
    prepared, data = environment.folder / f"sqlite-{root.name}", environment.folder / "sqlite"
    shutil.rmtree(data, ignore_errors=True)
    if not prepared.exists():
        # Made once, since it takes seconds.
        prepared.mkdir()
        users = installation.create_users(root, {**variables, "DATA_DIR": str(prepared)}, jobs.CLIENTS)
        (prepared / "users").write_text(json.dumps([asdict(user) for user in users]))
    shutil.copytree(prepared, data)
    users = [User(**user) for user in json.loads((data / "users").read_text())]
    variables["DATA_DIR"] = str(data)
    with installation.running(Limn(root, environment.folder, variables, users), web=1, workers=1) as limn:
        _order(limn, jobs.CLIENTS)
        began = time.perf_counter()
        load = _order(limn, count)
        return load.statuses[202] / (time.perf_counter() - began), load.statuses[503]


def _order(limn: Limn, count: int) -> http_load.Load:
    """Order this many images, and wait until those that were accepted are completed."""
    orders = [limn.order(number) for number in range(count)]
    before = limn.completed()
    load = http_load.closed_loop(limn.port, orders, connections=jobs.CLIENTS, expected=(202,))
    limn.wait_for_completed(before + load.statuses[202])
    return load
