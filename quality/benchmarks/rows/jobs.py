"""Jobs per second from the order to COMPLETED, with one and with two workers, and the CPU time of a job.

Eight clients order images of 1 MB as fast as Limn accepts them; fal answers after 20 ms. A job ends when its file is in
the bucket and its price is settled. The time runs from the first order until the last job has ended. There is one
process of the web server: on two cores that all programs share, a second one completes fewer jobs.
"""

from __future__ import annotations

import time

from quality.benchmarks import http_load
from quality.benchmarks.environment import CpuMeter, Environment, meter
from quality.benchmarks.installation import Limn
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result

CLIENTS = 8
WARM_UP = 24
FILE_BYTES = 1_000_000
LIMN_PROCESSES = ("web", "work", "postgresql", "s3")


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure one and two workers alternately."""
    rate = Result(
        row="jobs",
        what="jobs from order to COMPLETED, two workers",
        unit="per second",
        against="one worker",
        note="two workers are to do more than one where cores are free",
    )
    one = Result(row="jobs", what="jobs from order to COMPLETED, one worker", unit="per second")
    cpu = Result(
        row="jobs",
        what="CPU time of a job, all processes",
        unit="ms",
        aim=Aim(of="value", comparison="≤", limit=30),
        note="web, work, PostgreSQL and S3; the stand-in for fal and the load generator are listed apart",
    )
    environment.fal.behave(file_bytes=FILE_BYTES)
    with environment.limn(environment.limn_database("jobs"), web=1) as limn:
        for _ in range(options.alternations):
            for workers, values in ((1, one.limn), (2, rate.limn)):
                environment.fal.forget()
                for _ in range(workers):
                    limn.start_worker()
                run(limn, min(WARM_UP, options.jobs))
                used, load = _timed(meter(environment, limn), limn, options.jobs)
                values.append(options.jobs / used["elapsed"])
                if workers == 1:
                    cpu.limn.append(1000 * sum(used[name] for name in LIMN_PROCESSES) / options.jobs)
                    shown = {name: used[name] for name in (*LIMN_PROCESSES, "fal")} | {"load": load.client_cpu_seconds}
                    cpu.cpu_ms = {name: 1000 * seconds / options.jobs for name, seconds in shown.items()}
                limn.stop_workers()
    rate.other = one.limn
    return [one, rate, cpu]


def run(limn: Limn, count: int) -> http_load.Load:
    """Order this many images, and wait until all of them are completed."""
    before = limn.completed()
    orders = [limn.order(number) for number in range(count)]
    load = http_load.closed_loop(limn.port, orders, connections=CLIENTS, expected=(202,))
    if load.statuses[503]:
        raise http_load.LoadError(f"{load.statuses[503]} orders were answered with 503")
    limn.wait_for_completed(before + count)
    return load


def _timed(cpu: CpuMeter, limn: Limn, count: int) -> tuple[dict[str, float], http_load.Load]:
    cpu.start()
    began = time.perf_counter()
    load = run(limn, count)
    elapsed = time.perf_counter() - began
    return {**cpu.stop(), "elapsed": elapsed}, load
