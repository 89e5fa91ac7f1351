"""Temporary copies of this checkout, in which seeded bugs and mutants are tested.

The copy uses the virtual environment of the checkout. Nothing is written outside the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv/bin/python"
# A changed copy may make a test hang. The test must fail before pytest is killed.
HANG_SECONDS = "75"


@contextmanager
def copy() -> Iterator[Path]:
    """Yield the root of a copy of all files that git tracks or would add; the copy is deleted afterwards."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="limn-copy-") as folder:
        for name in filter(None, listed.split("\0")):
            # A tracked file may have been deleted in the checkout.
            if (ROOT / name).is_file():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        yield Path(folder)


def run_pytest(
    root: Path, *arguments: str, database: str, seconds_max: float, show_output: bool = False
) -> subprocess.CompletedProcess[str] | None:
    """Run pytest in a copy.

    Args:
        root: The root of the copy.
        arguments: For pytest.
        database: `sqlite` or `postgresql`.
        seconds_max: After this time pytest is killed.
        show_output: Print pytest's output while it runs, instead of returning it.

    Returns:
        The ended process, or None when pytest was killed.
    """
    command = [str(PYTHON), "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    # Many copies are made and deleted: compiled files would be written for nothing.
    environment = os.environ | {
        "TEST_DATABASE": database,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TEST_HANG_SECONDS": HANG_SECONDS,
    }
    try:
        return subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=not show_output,
            text=True,
            timeout=seconds_max,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
