"""The commit of Limn with which some rows are compared: the last one before the work on speed."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from quality.benchmarks.environment import Environment

NAME = "8ec138d"


def exported(environment: Environment) -> Path | None:
    """Return a folder with the files of the commit, which run in the environment of this checkout.

    None if the history of the repository does not have it.
    """
    folder = environment.folder / NAME
    if not folder.exists():
        command = ["git", "-C", str(environment.root), "archive", NAME]
        archive = subprocess.run(command, capture_output=True, check=False)
        if archive.returncode:
            return None
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
    return folder
