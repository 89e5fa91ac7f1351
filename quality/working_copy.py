"""Copies of this checkout to put bugs into. The environment is shared; nothing is written outside the copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quality.seeded_bugs.bug import Database

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv/bin/python"


@contextmanager
def copy() -> Iterator[Path]:
    """A copy of what git knows or would take up."""
    with tempfile.TemporaryDirectory(prefix="limn-teeth-") as name:
        root = Path(name)
        for path in _files():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, target)
        yield root


def _files() -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [Path(name) for name in listed if name and (ROOT / name).is_file()]


def pytest(
    root: Path, *arguments: str, database: Database, seconds_max: float, is_watched: bool = False
) -> subprocess.CompletedProcess[str] | None:
    """Run pytest in the copy. None when it took too long. What it says is the caller's, or everybody's to watch."""
    command = [str(PYTHON), "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"TEST_DATABASE": database, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=not is_watched,
            text=True,
            timeout=seconds_max,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
