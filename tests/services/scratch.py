"""Temporary folders with the id of their process in the name, so that the next run removes those of a killed run."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import getpid
from pathlib import Path

import psutil

_NAME = re.compile(r"limn-tests-(\d+)-")


@contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """A new folder for as long as the block lasts."""
    path = Path(tempfile.mkdtemp(prefix=f"limn-tests-{getpid()}-{purpose}-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_folders_of_ended_processes() -> None:
    """Remove what earlier runs left because they were killed."""
    for path in Path(tempfile.gettempdir()).glob("limn-tests-*"):
        owner = _NAME.match(path.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            shutil.rmtree(path, ignore_errors=True)
