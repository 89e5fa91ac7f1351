"""What a run prints at its end."""

from __future__ import annotations

import subprocess

from quality.chaos import reliability_table
from quality.chaos.fault_plan import Swarm
from quality.chaos.processes import ROOT
from quality.chaos.run import Result


def commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def never_hit(swarm: Swarm, result: Result) -> list[str]:
    return sorted(kind for kind in swarm.kinds if not result.tally.hits[kind])


def show(swarm: Swarm, result: Result) -> None:
    tally = result.tally
    _table("Faults, and how often each hit", tally.hits)
    _table("Counted", tally.counts)
    _table("How generations ended", result.phases)
    generations = sum(result.phases.values())
    rate = generations / result.load_seconds if result.load_seconds else 0
    print(f"\nThe promises of docs/reliability.md\n\n{reliability_table.as_markdown(tally)}")
    print(f"\n{generations} generations in {result.load_seconds:.0f} s of load: {rate:.1f}/s.")
    print(f"All had ended {result.liveness_seconds:.1f} s after the faults stopped.")
    print(f"{sum(1 for count in tally.hits.values() if count)} kinds of fault, {sum(tally.hits.values())} hits.")
    print(f"{len(tally.violations)} violations. Seed {swarm.seed}, commit {commit()}.")
    for violation in tally.violations:
        print(f"  {violation}")


def _table(title: str, counts: dict[str, int]) -> None:
    print(f"\n{title}")
    for name, count in sorted(counts.items()):
        print(f"  {count:8} {name}")
