"""Finds the tests that a seeded bug names, wherever they are, so that moving a test file changes no bug."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from pathlib import Path

DEFINITION = re.compile(r"^class (Test\w*)|^def (test_\w+)\(|^    def (test_\w+)\(", re.MULTILINE)


class TestNotFound(Exception):
    """No test has this name, or several have it."""

    # The name begins as those of test classes do, but pytest must not collect it.
    __test__ = False


def locate(test: str, root: Path) -> str:
    """Return the id by which pytest runs a test, such as `tests/credits/test_holds.py::test_a_hold_settles_once`.

    Args:
        test: The name of a test function, with `[…]` for one of its cases. If several files define it, the folder of
            the right one precedes it: `tests/credits::test_the_database_refuses`.
        root: The root of the checkout.

    Raises:
        TestNotFound: Not exactly one file defines the test.
    """
    # All cases of a parametrized test are defined by one function.
    folder, _, name = test.rpartition("::")
    files = [
        file for file in _definitions(root)[name.partition("[")[0]] if file.startswith(f"{folder}/" if folder else "")
    ]
    if len(files) != 1:
        raise TestNotFound(f"{test} is defined in {len(files)} files: {', '.join(files)}")
    return f"{files[0]}::{name}"


@cache
def _definitions(root: Path) -> dict[str, list[str]]:
    """Return the files that define each test function, by its name; for a method with its class, as pytest has it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        file = str(path.relative_to(root))
        of_class = file
        for class_name, function, method in DEFINITION.findall(path.read_text()):
            if class_name:
                of_class = f"{file}::{class_name}"
            else:
                found[function or method].append(file if function else of_class)
    return found
