"""Counts test cases: how many tests pytest collects for each database, with every set of parameters counted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DATABASES = ("sqlite", "postgresql")
# "8578/8721 tests collected (143 deselected)": the first number is what would run.
COLLECTED = re.compile(r"^(\d+)(?:/\d+)? tests? collected", re.MULTILINE)


def count(root: Path, database: str) -> int:
    """Collect the tests of the checkout at `root` in a process of their own, with the installed dependencies.

    Args:
        root: A checkout.
        database: One of `DATABASES`.

    Raises:
        RuntimeError: pytest could not collect them.
    """
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider"]
    environment = os.environ | {"TEST_DATABASE": database, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    found = COLLECTED.search(process.stdout)
    if process.returncode != 0 or found is None:
        raise RuntimeError(
            f"pytest could not collect the tests in {root}:\n{process.stdout[-2000:]}{process.stderr[-2000:]}"
        )
    return int(found[1])
