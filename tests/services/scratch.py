"""Temporary folders that bear their maker's process id, so that the next run clears away what a kill -9 left."""

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
    path = Path(tempfile.mkdtemp(prefix=f"limn-tests-{getpid()}-{purpose}-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def clear_away_the_dead() -> None:
    for path in Path(tempfile.gettempdir()).glob("limn-tests-*"):
        maker = _NAME.match(path.name)
        if maker and not psutil.pid_exists(int(maker[1])):
            shutil.rmtree(path, ignore_errors=True)
