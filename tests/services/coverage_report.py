"""Puts together what `coverage run` has measured in all processes, and judges it.

The pass on SQLite alone is measured: measuring takes as long as testing, and the pass on PostgreSQL runs the same code.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import coverage
import pytest


@dataclass(frozen=True, kw_only=True)
class Report:
    text: str
    is_enough: bool


KEY: pytest.StashKey[Report] = pytest.StashKey()


def combine() -> Report:
    measured = coverage.Coverage()
    measured.combine()
    measured.save()
    text = io.StringIO()
    percent = measured.report(file=text)
    wanted = float(measured.config.fail_under)
    verdict = f"\n{percent:.1f} % covered; at least {wanted:g} % is wanted.\n"
    return Report(text=text.getvalue() + verdict, is_enough=percent >= wanted)


@contextmanager
def paused(*, unless: bool) -> Iterator[None]:
    """Within the block nothing is measured, in this thread and those that it starts.

    By Python's own means: `Coverage.stop` and `start` look at every module that was ever imported.
    """
    measuring, in_threads = sys.gettrace(), threading.gettrace()
    if unless or measuring is None:
        yield
        return
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(measuring)
        threading.settrace(in_threads)
