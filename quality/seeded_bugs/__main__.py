"""The command `python -m quality.seeded_bugs`, which `make seeded-bugs` runs.

It first runs all catching tests on a copy without a bug: a test that fails there proves nothing. Then it inserts each
bug into a copy of its own, runs the tests that must fail, and prints a table. `ARGS="3a 17"` selects bugs.
It exits with 1 when a bug is not caught or does not apply, or when one of its tests fails without it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from quality import working_copy
from quality.arguments import read_names
from quality.seeded_bugs.bug import Bug, Database, DoesNotApply
from quality.seeded_bugs.bugs import BUGS
from quality.seeded_bugs.catching_tests import locate

SECONDS_MAX = 300
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")
FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)
FAILED_OR_ERROR = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
# A test that fails with one of these has not caught the bug: the code of the bug itself is wrong.
BROKEN_BUG = re.compile(r"^E\s+((?:NameError|ImportError|UnboundLocalError|SyntaxError)\b.*)", re.MULTILINE)


def main(arguments: Sequence[str]) -> int:
    known = [bug.number for bug in BUGS]
    numbers = read_names(
        arguments, known, prog="python -m quality.seeded_bugs", description="Insert bugs and run tests."
    )
    bugs = [bug for bug in BUGS if not numbers or bug.number in numbers]
    # As many at a time as there are processors: each is a process of pytest that computes most of the time.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda database: failures_without_bug(database, bugs), DATABASES)
        failures = [name for names in found for name in names]
        for name in failures:
            print(f"Fails without any bug: {name}")
        print("| Bug | | Caught by | Seconds |\n|---|---|---|---|", flush=True)
        problems = list(pool.map(lambda bug: try_bug(bug, failures), bugs))
    return 1 if any(problems) else 0


def failures_without_bug(database: Database, bugs: Sequence[Bug]) -> list[str]:
    """Run the catching tests of all bugs without any bug. Returns the ids of those that fail."""
    names = sorted({test for bug in bugs if bug.database == database for test in bug.caught_by})
    if not names:
        return []
    with working_copy.copy() as root:
        tests = [locate(name, root) for name in names]
        # All tests together take longer than those of one bug.
        ended = working_copy.run_pytest(root, "-q", "-rfE", *tests, database=database, seconds_max=3 * SECONDS_MAX)
    if ended is None or (ended.returncode and not FAILED_OR_ERROR.search(ended.stdout)):
        # Pytest hung, or could not even begin: none of the tests proves anything.
        return tests
    return FAILED_OR_ERROR.findall(ended.stdout)


def try_bug(bug: Bug, failures: Collection[str]) -> str:
    """Insert one bug, run its catching tests and print a line of the table. Returns the problem, if there is one."""
    started = monotonic()
    problem = find_problem(bug, failures)
    result = problem or ", ".join(f"`{test.rpartition('::')[2]}`" for test in bug.caught_by)
    print(f"| {bug.number} | {bug.sentence} | {result} | {monotonic() - started:.0f} |", flush=True)
    return problem


def find_problem(bug: Bug, failures: Collection[str]) -> str:
    """Insert one bug into a copy and run its catching tests.

    Args:
        bug: The bug.
        failures: The tests that fail without any bug.

    Returns:
        Nothing, if all catching tests fail because of the bug.
    """
    with working_copy.copy() as root:
        tests = [locate(name, root) for name in bug.caught_by]
        if unusable := [test for test in tests if _is_among(test, failures)]:
            return f"**NOT TRIED**: {', '.join(unusable)} fails without the bug"
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
    passed = [test for test in tests if not _is_among(test, failed)]
    return f"**NOT CAUGHT** by {', '.join(passed)}" if passed else ""


def _is_among(test: str, ids: Collection[str]) -> bool:
    """Return whether the test, or one of its cases, is in a list of pytest's ids."""
    return any(name == test or name.startswith(f"{test}[") for name in ids)


sys.exit(main(sys.argv[1:]))
