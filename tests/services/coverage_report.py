"""Combines the coverage that all processes have measured, and compares it with the required percentage.

Only the pass on SQLite is measured: measuring takes as long as testing, and the pass on PostgreSQL runs the same code.
`tests/plugin.py` calls it at the end of the run.
"""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import coverage
import pytest
from coverage.exceptions import CoverageWarning


@dataclass(frozen=True, kw_only=True)
class Report:
    text: str
    """The table of all files, and a closing line with the total."""
    is_enough: bool
    """Whether the total reaches `fail_under` of pyproject.toml."""


KEY: pytest.StashKey[Report] = pytest.StashKey()


def save() -> None:
    """Save what this process has measured so far. pytest-xdist kills a worker whose threads keep it from ending."""
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.save()


def combine() -> Report:
    """Combine the data files of all processes into one, and report it."""
    measured = coverage.Coverage()
    with warnings.catch_warnings():
        # A process that a test killed while it wrote its file.
        warnings.filterwarnings("ignore", "Data file .* isn't a coverage data file", CoverageWarning)
        measured.combine()
    measured.save()
    table = io.StringIO()
    percent = measured.report(file=table)
    required = float(measured.config.fail_under)
    total = f"\n{percent:.1f} % covered; at least {required:g} % is required.\n"
    return Report(text=table.getvalue() + total, is_enough=percent >= required)


@contextmanager
def paused(*, unless: bool) -> Iterator[None]:
    """Measure nothing within the block, neither in this thread nor in those that it starts, unless `unless` is true.

    `Coverage.stop` and `start` would look at every imported module each time, so the trace functions are set directly.
    """
    trace, trace_of_threads = sys.gettrace(), threading.gettrace()
    if unless or trace is None:
        yield
        return
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)
        threading.settrace(trace_of_threads)
