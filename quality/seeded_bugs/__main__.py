"""The command `python -m quality.seeded_bugs`, which `make seeded-bugs` runs.

It first runs all catching tests on a copy without a bug: a test that fails there proves nothing. Then it inserts each
bug into a copy of its own, runs the tests that must fail, and prints a table. `ARGS="3a 17"` selects bugs.
It exits with 1 when a bug is not caught or does not apply, or when a test fails without a bug.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TypeVar

from quality import working_copy
from quality.seeded_bugs.bug import Bug, Database, DoesNotApply
from quality.seeded_bugs.bugs import BUGS
from quality.seeded_bugs.catching_tests import locate

SECONDS_MAX = 300
FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)
# A test that fails with one of these has not caught the bug: the code of the bug itself is wrong.
BROKEN_BUG = re.compile(r"^E\s+((?:NameError|ImportError|UnboundLocalError|SyntaxError)\b.*)", re.MULTILINE)
Item = TypeVar("Item")


def main(numbers: Sequence[str]) -> int:
    bugs = [bug for bug in BUGS if not numbers or bug.number in numbers]
    databases: list[Database] = ["sqlite", "postgresql"]
    if problems := _in_parallel(lambda database: failures_without_bug(database, bugs), databases):
        print(*problems, sep="\n")
        return 1
    print("| Bug | | Caught by | Seconds |\n|---|---|---|---|", flush=True)
    return 1 if _in_parallel(try_bug, bugs) else 0


def failures_without_bug(database: Database, bugs: Sequence[Bug]) -> str:
    """Run the catching tests of all bugs without any bug. Returns pytest's output if one fails, else nothing."""
    names = sorted({test for bug in bugs if bug.database == database for test in bug.caught_by})
    if not names:
        return ""
    with working_copy.copy() as root:
        tests = [locate(name, root) for name in names]
        # All tests together take longer than those of one bug.
        ended = working_copy.run_pytest(root, "-q", *tests, database=database, seconds_max=3 * SECONDS_MAX)
    if ended is None:
        return "The tests took too long without any bug."
    return "" if ended.returncode == 0 else f"Tests fail without any bug:\n{ended.stdout}"


def try_bug(bug: Bug) -> str:
    """Insert one bug, run its catching tests and print a line of the table. Returns the problem, if there is one."""
    started = monotonic()
    problem = find_problem(bug)
    result = problem or ", ".join(f"`{test.rpartition('::')[2]}`" for test in bug.caught_by)
    print(f"| {bug.number} | {bug.sentence} | {result} | {monotonic() - started:.0f} |", flush=True)
    return problem


def find_problem(bug: Bug) -> str:
    """Insert one bug into a copy and run its catching tests. Returns nothing if all of them fail because of it."""
    with working_copy.copy() as root:
        tests = [locate(name, root) for name in bug.caught_by]
        try:
            bug.apply(root).save()
        except DoesNotApply as error:
            return f"**DOES NOT APPLY**: {error}"
        ended = working_copy.run_pytest(root, "-q", "-rf", *tests, database=bug.database, seconds_max=SECONDS_MAX)
    if ended is None:
        return "**NOT CAUGHT**: the tests took too long"
    if broken := BROKEN_BUG.search(ended.stdout):
        return f"**DOES NOT APPLY**: {broken[1]}"
    # A test that ends as an ERROR could not begin, and has caught nothing.
    failed = FAILED.findall(ended.stdout)
    passed = [test for test in tests if not any(name == test or name.startswith(f"{test}[") for name in failed)]
    return f"**NOT CAUGHT** by {', '.join(passed)}" if passed else ""


def _in_parallel(work: Callable[[Item], str], items: Iterable[Item]) -> list[str]:
    """Call `work` for each item, one per processor at a time. Returns what is not empty."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [problem for problem in pool.map(work, items) if problem]


sys.exit(main(sys.argv[1:]))
