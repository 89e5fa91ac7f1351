"""`make mutants`: change the ledger and the lifecycle a little, everywhere, and list what no test notices.

Runs on SQLite in a copy of this checkout, both subjects side by side. Exits with 1 when something survives that
`explained` does not explain, or when it explains what has died. Names of modules (`ordering rules`) try these alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from quality import working_copy
from quality.mutation.equivalent import EXPLAINED

HOURS_MAX = 3
# Those that take milliseconds. The slower ones would kill no more, and cost hours.
LEDGERS = ("operations", "refusals", "atomicity", "reference_model")
LIFECYCLES = (
    "lifecycle/test_transitions",
    "lifecycle/test_ordering",
    "lifecycle/test_atomicity",
    "lifecycle/test_storing",
    "workers/test_callback_inbox",
    "lifecycle/test_cancelling",
    "workers/test_lost_answers",
    "progress/test_progress",
    "provider/test_circuit_breaker",
    "lifecycle/test_charging_rules",
    "lifecycle/test_erasing",
    "api/test_idempotency",
    "api/test_repeated_orders",
    "api/test_batches",
    "ordering/test_price_book",
)
LIFECYCLE = (
    "table",
    "ending",
    "storing",
    "submitting",
    "answering",
    "cancelling",
    "ordering",
    "erasing",
    "failures",
    "rules",
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    name: str
    modules: list[str]
    tests: list[str]

    def only(self, names: Sequence[str]) -> Subject:
        """With the modules of these names alone; no names: with all."""
        chosen = [module for module in self.modules if not names or module.rpartition(".")[2] in names]
        return replace(self, modules=chosen)


SUBJECTS = [
    Subject(
        name="ledger",
        modules=["credits.ledger"],
        tests=[f"tests/credits/test_{name}.py" for name in LEDGERS],
    ),
    Subject(
        name="lifecycle",
        modules=[f"generations.lifecycle.{name}" for name in LIFECYCLE],
        tests=[
            *(f"tests/generations/{name}.py" for name in LIFECYCLES),
            "tests/notifications/test_outbox.py",
        ],
    ),
]


def main(names: Sequence[str]) -> int:
    subjects = [chosen for subject in SUBJECTS if (chosen := subject.only(names)).modules]
    with working_copy.copy() as root, ThreadPoolExecutor(len(SUBJECTS)) as pool:
        survivors = {name for found in pool.map(lambda subject: _survivors(root, subject), subjects) for name in found}
    tried = {name for name in EXPLAINED if not names or name.partition(".")[0] in names}
    unexplained, stale = survivors - EXPLAINED.keys(), tried - survivors
    print(f"{len(survivors)} survivors, {len(survivors) - len(unexplained)} of them explained.")
    print(*(f"SURVIVED  {name}" for name in sorted(unexplained)), sep="\n")
    print(*(f"Explained, and dead: {name}" for name in sorted(stale)), sep="\n")
    return 1 if unexplained or stale else 0


def _survivors(root: Path, subject: Subject) -> list[str]:
    report = root / f"survivors-{subject.name}.txt"
    chosen = [f"--mutate={module}" for module in subject.modules]
    ran = working_copy.pytest(
        root,
        *("-q", "-p", "no:randomly", "-p", "quality.mutation.pytest_plugin", f"--survivors={report}"),
        *chosen,
        *subject.tests,
        database="sqlite",
        seconds_max=HOURS_MAX * 3600,
        # Line by line: it takes long, and what it has found by then should outlive it.
        is_watched=True,
    )
    if ran is None:
        print(f"{subject.name}: took too long", flush=True)
    return report.read_text().splitlines() if report.exists() else [f"{subject.name}: broken off"]


sys.exit(main(sys.argv[1:]))
