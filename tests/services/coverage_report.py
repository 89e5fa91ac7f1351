"""Puts together what `coverage run` has measured in several passes and processes, and judges it."""

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
    _save_our_own()
    measured = coverage.Coverage()
    measured.combine()
    measured.save()
    text = io.StringIO()
    percent = measured.report(file=text)
    wanted = float(measured.config.fail_under)
    verdict = f"\n{percent:.1f} % covered; at least {wanted:g} % is wanted.\n"
    return Report(text=text.getvalue() + verdict, is_enough=percent >= wanted)


def _save_our_own() -> None:
    running = coverage.Coverage.current()
    if running is not None:
        running.stop()
        running.save()
