"""The command `python -m quality.chaos`, which `make chaos` runs.

It exits with 0 if no rule was violated and every kind of fault in the plan took effect. A run that is shortened by an
option may be too short to hit every kind, so there only violations count.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from quality.chaos import fault_kinds, fault_plan, report
from quality.chaos.run import Size, run
from tests.services import faketime, pgbouncer

SHORT = Size(
    generations=400,
    seconds=20,
    orders_min=15,
    clients=8,
    time_scale=30,
    fault_pause_seconds=(0.2, 0.6),
    fault_seconds=(0.3, 1.0),
    snapshot_seconds=1.0,
)
LONG = Size(
    # A restore loses some of them.
    generations=10_500,
    seconds=3600,
    orders_min=0,
    clients=12,
    time_scale=12,
    fault_pause_seconds=(3, 9),
    fault_seconds=(1, 4),
    snapshot_seconds=4.0,
)


def unavailable_kinds() -> frozenset[str]:
    """Return the kinds that need a program which is not installed here."""
    clocks = fault_kinds.CLOCK_FAULTS if faketime.find_library() is None else frozenset()
    return clocks | ({fault_kinds.PGBOUNCER} if pgbouncer.find_program() is None else frozenset())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quality.chaos", description="Run Limn under load while faults are injected around it."
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="selects the faults (random)")
    parser.add_argument("--generations", type=int, help="end the load after this many orders (10,500)")
    parser.add_argument("--seconds", type=float, help="end the load after this many seconds (3600)")
    parser.add_argument("--short", action="store_true", help="half a minute of load, as `make test` runs it")
    parser.add_argument("--only", help="inject these kinds alone, whatever the seed selects; separated by commas")
    parser.add_argument("--keep", type=Path, help="write logs and databases to this folder, and keep them")
    options = parser.parse_args()
    size = SHORT if options.short else LONG
    size = replace(size, generations=options.generations or size.generations, seconds=options.seconds or size.seconds)
    unavailable = unavailable_kinds()
    plan = fault_plan.draw(options.seed, is_short=options.short, unavailable=unavailable)
    if options.only:
        plan = plan.only(set(options.only.split(",")))
    print(f"Seed {plan.seed}, commit {report.commit()}: {len(plan.kinds)} kinds of fault.", flush=True)
    if unavailable:
        print(f"Not on this machine: {', '.join(sorted(unavailable))}.", flush=True)
    with tempfile.TemporaryDirectory(prefix="limn-chaos-", ignore_cleanup_errors=True) as folder:
        # PostgreSQL may run as another user, which must be able to enter the folder.
        Path(folder).chmod(0o755)
        result = run(plan, size, options.keep or Path(folder))
    report.show(plan, result)
    missed = report.never_hit(plan, result)
    if missed:
        print(f"Never hit: {', '.join(missed)}.")
    is_shortened = options.short or options.only or options.seconds or options.generations
    return 1 if result.counters.violations or (missed and not is_shortened) else 0


if __name__ == "__main__":
    sys.exit(main())
