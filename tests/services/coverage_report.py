"""Puts together what `coverage run` has measured in all processes, and judges it.

The pass on SQLite alone is measured: measuring takes a fifth longer, and the pass on PostgreSQL runs the same code.
"""

from __future__ import annotations

import io
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
