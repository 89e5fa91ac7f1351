"""Prints the result of a run: what was injected, what was counted, and what was violated."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from quality.chaos import reliability_table
from quality.chaos.fault_plan import FaultPlan
from quality.chaos.processes import ROOT
from quality.chaos.run import Result


def commit() -> str:
    """Return the commit of the checkout, with `-dirty` if it has uncommitted changes."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def never_hit(plan: FaultPlan, result: Result) -> list[str]:
    """Return the kinds of fault that the plan contains and that never took effect."""
    return sorted(kind for kind in plan.kinds if not result.counters.faults[kind])


def show(plan: FaultPlan, result: Result) -> None:
    """Print the whole report to standard output."""
    counters = result.counters
    _print_table("Faults, and how often each took effect", counters.faults)
    _print_table("Events", counters.events)
    _print_table("Final states of the generations", result.final_states)
    generations = sum(result.final_states.values())
    rate = generations / result.load_seconds if result.load_seconds else 0
    print(f"\nTable for docs/reliability.md\n\n{reliability_table.as_markdown(counters)}")
    print(f"\n{generations} generations in {result.load_seconds:.0f} s of load: {rate:.1f}/s.")
    print(f"Everything had ended {result.recovery_seconds:.1f} s after the faults stopped.")
    kinds = sum(1 for count in counters.faults.values() if count)
    print(f"{kinds} kinds of fault, {sum(counters.faults.values())} hits.")
    print(f"{len(counters.violations)} violations. Seed {plan.seed}, commit {commit()}.")
    for violation in counters.violations:
        print(f"  {violation}")


def _print_table(title: str, counts: Mapping[str, int]) -> None:
    print(f"\n{title}")
    for name, count in sorted(counts.items()):
        print(f"  {count:8} {name}")
