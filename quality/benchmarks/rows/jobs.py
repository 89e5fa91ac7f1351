"""Jobs per second from the order to COMPLETED, with one and with two workers, and the CPU time of a job.

Eight clients order images of 1 MB as fast as Limn accepts them; fal answers after 20 ms. A job ends when its file is in
the bucket and its price is settled. The time runs from the first order until the last job has ended. There is one
process of the web server: on two cores that all programs share, a second one completes fewer jobs.

On two cores a second worker finds none that is free. So the two are measured once more with a fal whose files arrive
after a second: a worker then waits most of its time, and what limits it is the number of files that it copies at once.

Neighbours of a virtual machine slow its cores (`core_speed`), and the CPU time of a job rises with it. The row without
neighbours estimates what it would be for Python and PostgreSQL. SeaweedFS counts in full: most of its time is MD5,
which neighbours do not slow.
"""

from __future__ import annotations

import time
from statistics import median

from quality.benchmarks import http_load, old_commit
from quality.benchmarks.core_speed import CoreSpeed
from quality.benchmarks.environment import Environment, meter
from quality.benchmarks.installation import Limn, create_users, running
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result, number

CLIENTS = 8
WARM_UP = 24
FILE_BYTES = 1_000_000
SLOW_FILES = {"file_bytes": 50_000, "file_seconds": 1.0}
SLOWED_PROCESSES = ("web", "work", "postgresql")
LIMN_PROCESSES = (*SLOWED_PROCESSES, "s3")


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure one and two workers alternately."""
    one, two = _rates("jobs from order to COMPLETED")
    one_waiting, two_waiting = _rates("the same with files that arrive after a second")
    two_waiting.aim = Aim(of="ratio", comparison="≥", limit=1.5)
    cpu = Result(
        row="jobs",
        what="CPU time of a job, all processes",
        unit="ms",
        against=f"commit {old_commit.NAME}",
        aim=Aim(of="value", comparison="≤", limit=30),
        note="web, work, PostgreSQL and S3; the stand-in for fal and the load generator are listed apart",
    )
    undisturbed = Result(
        row="jobs",
        what="CPU time of a job, all processes, without neighbours",
        unit="ms",
        aim=Aim(of="value", comparison="≤", limit=30),
    )
    loops: list[float] = []
    slowed: list[float] = []
    speed = CoreSpeed(environment.folder / "core-speed")
    with speed, environment.limn(environment.limn_database("jobs"), web=1) as limn:
        old = _old_limn(environment) if options.old else None
        for _ in range(options.alternations):
            environment.fal.behave(file_bytes=FILE_BYTES)
            began, used = time.monotonic(), _job_ms(environment, limn, 1, options.jobs)
            loops.append(speed.between(began, time.monotonic()))
            one.limn.append(1000 / used.pop("elapsed"))
            cpu.limn.append(sum(used[name] for name in LIMN_PROCESSES))
            slowed.append(sum(used[name] for name in SLOWED_PROCESSES))
            cpu.cpu_ms = used
            two.limn.append(1000 / _job_ms(environment, limn, 2, options.jobs)["elapsed"])
            if old is not None:
                # Its web server ends too, so that nothing of it runs beside the other rounds.
                with running(old, web=1, workers=0):
                    used = _job_ms(environment, old, 1, options.jobs)
                cpu.other.append(sum(used[name] for name in LIMN_PROCESSES))
            environment.fal.behave(**SLOW_FILES)
            for workers, result in ((1, one_waiting), (2, two_waiting)):
                result.limn.append(1000 / _job_ms(environment, limn, workers, options.jobs)["elapsed"])
        for all_ms, slowed_ms, loop in zip(cpu.limn, slowed, loops, strict=True):
            undisturbed.limn.append(all_ms - slowed_ms * (1 - speed.fastest() / loop))
        undisturbed.note = (
            f"a fixed loop took {number(median(loops))} ms; without neighbours {number(speed.fastest())} ms"
        )
    return [one, two, one_waiting, two_waiting, cpu, undisturbed]


def _rates(what: str) -> tuple[Result, Result]:
    """Return the results of one worker, and of two compared with it."""
    one = Result(row="jobs", what=f"{what}, one worker", unit="per second")
    two = Result(row="jobs", what=f"{what}, two workers", unit="per second", against="one worker", other=one.limn)
    return one, two


def _old_limn(environment: Environment) -> Limn | None:
    root = old_commit.exported(environment)
    if root is None:
        return None
    variables = environment.variables(environment.database("jobs-old"))
    return Limn(root, environment.folder, variables, create_users(root, variables, len(environment.users)))


def _job_ms(environment: Environment, limn: Limn, workers: int, count: int) -> dict[str, float]:
    """Run so many jobs with so many workers. Returns milliseconds of a job: `elapsed`, and CPU time by the process."""
    environment.fal.forget()
    for _ in range(workers):
        limn.start_worker()
    run(limn, min(WARM_UP, count))
    cpu = meter(environment, limn)
    cpu.start()
    load = run(limn, count)
    used = cpu.stop() | {"load": load.client_cpu_seconds}
    limn.stop_workers()
    return {name: 1000 * used[name] / count for name in (*LIMN_PROCESSES, "fal", "load", "elapsed")}


def run(limn: Limn, count: int) -> http_load.Load:
    """Order this many images, and wait until all of them are completed."""
    before = limn.completed()
    orders = [limn.order(number) for number in range(count)]
    load = http_load.closed_loop(limn.port, orders, connections=CLIENTS, expected=(202,))
    if load.statuses[503]:
        raise http_load.LoadError(f"{load.statuses[503]} orders were answered with 503")
    limn.wait_for_completed(before + count)
    return load
