"""The command `python -m quality.mutation`, which `make mutation` runs.

It runs on SQLite in a copy of the checkout, one pytest process for each subject. `ARGS="ledger placing"` restricts it
to these modules. It exits with 1 when a mutant survives that `equivalent` does not list, or when a listed one dies.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from quality import working_copy
from quality.arguments import read_names
from quality.mutation.equivalent import EQUIVALENT
from quality.mutation.subjects import SUBJECTS, Subject

HOURS_MAX = 3
MODULES = [module.rpartition(".")[2] for subject in SUBJECTS for module in subject.modules]


def main(arguments: Sequence[str]) -> int:
    names = read_names(
        arguments, MODULES, prog="python -m quality.mutation", description="Mutate code and run its tests."
    )
    subjects = [chosen for subject in SUBJECTS if (chosen := subject.restricted_to(names)).modules]
    with working_copy.copy() as root, ThreadPoolExecutor(len(SUBJECTS)) as pool:
        results = pool.map(lambda subject: find_survivors(root, subject), subjects)
        survivors = {mutant for found in results for mutant in found}
    expected = {mutant for mutant in EQUIVALENT if not names or mutant.partition(".")[0] in names}
    unexplained, killed = survivors - EQUIVALENT.keys(), expected - survivors
    print(f"{len(survivors)} survivors, {len(survivors) - len(unexplained)} of them listed as equivalent.")
    for mutant in sorted(unexplained):
        print(f"SURVIVED  {mutant}")
    for mutant in sorted(killed):
        print(f"Listed as equivalent, but killed: {mutant}")
    return 1 if unexplained or killed else 0


def find_survivors(root: Path, subject: Subject) -> list[str]:
    """Mutate the modules of one subject in a copy of the checkout. Returns the mutants that survived, as text."""
    report = root / f"survivors-{subject.name}.txt"
    ended = working_copy.run_pytest(
        root,
        *("-q", "-p", "no:randomly", "-p", "quality.mutation.pytest_plugin", f"--survivors={report}"),
        *(f"--mutate={module}" for module in subject.modules),
        *subject.tests,
        database="sqlite",
        seconds_max=HOURS_MAX * 3600,
        # A run takes long. What it has found is printed at once, so that an interrupted run has a result too.
        show_output=True,
    )
    if ended is None:
        print(f"{subject.name}: took too long", flush=True)
    return report.read_text().splitlines() if report.exists() else [f"{subject.name}: the run was interrupted"]


sys.exit(main(sys.argv[1:]))
