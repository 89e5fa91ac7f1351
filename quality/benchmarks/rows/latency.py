"""The time from a callback to COMPLETED: at one job a second, and at half of what Limn manages.

Orders come at fixed times, whatever happened to those before (an open loop). The clock starts when the stand-in for fal
sends the callback, and stops when the transaction that made the generation COMPLETED was committed, which PostgreSQL
records (`track_commit_timestamp`). Both clocks are that of this machine.
"""

from __future__ import annotations

import time

import psycopg

from quality.benchmarks import http_load
from quality.benchmarks.environment import Environment
from quality.benchmarks.http_load import Load
from quality.benchmarks.installation import Limn
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result
from quality.benchmarks.rows import jobs

# xmin is the transaction that wrote the row as it is now: the one that completed the generation, or a later one.
_COMPLETED_AT = """
SELECT submission.request_id, extract(epoch FROM pg_xact_commit_timestamp(generation.xmin))
FROM generations_generation generation
JOIN generations_submission submission ON submission.generation_id = generation.id
WHERE generation.status = 'completed'
"""


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure p50 and p99 at both rates."""
    environment.fal.behave(file_bytes=jobs.FILE_BYTES)
    slow = _results("at 1 job per second", None, None)
    half = _results("at half of the maximum", 100, 400)
    for _ in range(options.alternations):
        environment.fal.forget()
        with environment.limn(environment.limn_database("latency"), workers=1) as limn:
            jobs.run(limn, min(jobs.WARM_UP, options.jobs))
            began = time.perf_counter()
            jobs.run(limn, options.jobs)
            rate = options.jobs / (time.perf_counter() - began) / 2
            for results, per_second in ((slow, 1.0), (half, rate)):
                count = max(3, round(per_second * options.latency_seconds))
                load = callback_to_completed(environment, limn, count, per_second)
                for result, percent in zip(results, (50, 99), strict=True):
                    result.limn.append(load.percentile(percent))
            half[0].note = f"{rate:.1f} jobs per second in the last alternation"
    return [*slow, *half]


def callback_to_completed(environment: Environment, limn: Limn, count: int, per_second: float) -> Load:
    """Order `count` images at this rate. Returns the time from callback to COMPLETED of each."""
    environment.fal.forget()
    before = limn.completed()
    orders = [limn.order(number) for number in range(count)]
    http_load.open_loop(limn.port, orders, per_second=per_second, expected=(202,))
    limn.wait_for_completed(before + count)
    with psycopg.connect(limn.database_url) as connection:
        completed_at = {row[0]: float(row[1]) for row in connection.execute(_COMPLETED_AT)}
    sent_at = {job["request_id"]: job["sent_at"] for job in environment.fal.jobs()}
    return Load(durations=[completed_at[request_id] - sent for request_id, sent in sent_at.items() if sent])


def _results(when: str, p50_max: float | None, p99_max: float | None) -> list[Result]:
    return [
        Result(
            row="latency",
            what=f"callback to COMPLETED, 1 MB, {when}, p{percent}",
            unit="ms",
            aim=None if limit is None else Aim(of="value", comparison="≤", limit=limit),
        )
        for percent, limit in ((50, p50_max), (99, p99_max))
    ]
