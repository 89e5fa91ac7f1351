"""`python -m soak`: exit code 0 when nothing was violated and every kind of fault was hit."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from quality.chaos import fault_plan, report
from quality.chaos.run import Size, at_home, run

SHORT = Size(
    generations=400,
    seconds=14,
    orders_min=15,
    customers=8,
    workers=2,
    time_scale=30,
    nemesis_pause_seconds=(0.2, 0.6),
    fault_seconds=(0.3, 1.0),
    sample_seconds=1.0,
)
LONG = Size(
    generations=10_000,
    seconds=3600,
    orders_min=0,
    customers=12,
    workers=3,
    time_scale=12,
    nemesis_pause_seconds=(3, 9),
    fault_seconds=(1, 4),
    sample_seconds=4.0,
)


def main() -> int:
    options = _options()
    drawn = fault_plan.draw(options.seed, is_short=options.short)
    print(f"Seed {drawn.seed}, commit {report.commit()}: {len(drawn.kinds)} kinds of fault.", flush=True)
    at_home()
    with tempfile.TemporaryDirectory(prefix="limn-soak-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as somebody else.
        result = run(drawn, _size(options), Path(options.keep or folder))
    report.show(drawn, result)
    missed = report.never_hit(drawn, result)
    if missed:
        print(f"Never hit: {', '.join(missed)}.")
    return 1 if result.tally.violations or (missed and not options.short) else 0


def _size(options: argparse.Namespace) -> Size:
    size = SHORT if options.short else LONG
    changes = {name: getattr(options, name) for name in ("generations", "seconds") if getattr(options, name)}
    return Size(**{**vars(size), **changes})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description="Limn under load while everything breaks.")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="draws the faults (random)")
    parser.add_argument("--generations", type=int, help="stop ordering after so many (10,000)")
    parser.add_argument("--seconds", type=float, help="stop ordering after so long (an hour)")
    parser.add_argument("--short", action="store_true", help="the run of `make test`: half a minute of load")
    parser.add_argument("--keep", type=Path, help="keep logs and databases in this folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
