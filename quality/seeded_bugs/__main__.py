"""`make teeth`: seed each bug in a copy, run the tests that must die of it, and print who caught what.

Before that the same tests run on a copy without a bug: what is red anyway proves nothing. `ARGS="3a 17"` tries only
these. Exits with 1 when a bug is not caught, no longer applies, or a test is red without one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from quality import working_copy
from quality.seeded_bugs.bug import Bug, Database, DoesNotApply
from quality.seeded_bugs.bugs import BUGS

SECONDS_MAX = 300
FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)
GREEN = 0


def main(numbers: Sequence[str]) -> int:
    bugs = [bug for bug in BUGS if not numbers or bug.number in numbers]
    if problems := _side_by_side(_red_without_a_bug, ["sqlite", "postgresql"], bugs):
        print(*problems, sep="\n")
        return 1
    print("| Bug | | Caught by | Seconds |\n|---|---|---|---|", flush=True)
    return 1 if _side_by_side(_try, bugs) else 0


def _side_by_side(work: Callable[..., str], things: Sequence[object], *rest: object) -> list[str]:
    """What each had to complain of, if anything."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [complaint for complaint in pool.map(lambda thing: work(thing, *rest), things) if complaint]


def _red_without_a_bug(database: Database, bugs: Sequence[Bug]) -> str:
    tests = sorted({test for bug in bugs if bug.database == database for test in bug.caught_by})
    if not tests:
        return ""
    with working_copy.copy() as root:
        ran = working_copy.pytest(root, "-q", *tests, database=database, seconds_max=SECONDS_MAX)
    return "" if ran and ran.returncode == GREEN else f"Red without any bug:\n{ran.stdout if ran else 'took too long'}"


def _try(bug: Bug) -> str:
    since = monotonic()
    complaint = _complaint(bug)
    verdict = complaint or ", ".join(f"`{test.partition('::')[2]}`" for test in bug.caught_by)
    print(f"| {bug.number} | {bug.sentence} | {verdict} | {monotonic() - since:.0f} |", flush=True)
    return complaint


def _complaint(bug: Bug) -> str:
    with working_copy.copy() as root:
        try:
            for change in bug.changes:
                change.apply(root)
        except DoesNotApply as error:
            return f"**DOES NOT APPLY**: {error}"
        ran = working_copy.pytest(root, "-q", "-rf", *bug.caught_by, database=bug.database, seconds_max=SECONDS_MAX)
    if ran is None:
        return "**NOT CAUGHT**: the tests took too long"
    # A test that cannot even begin is an ERROR, and has caught nothing.
    dead = FAILED.findall(ran.stdout)
    alive = [test for test in bug.caught_by if not any(name == test or name.startswith(f"{test}[") for name in dead)]
    return f"**NOT CAUGHT** by {', '.join(alive)}" if alive else ""


sys.exit(main(sys.argv[1:]))
