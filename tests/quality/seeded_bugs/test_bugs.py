"""Every seeded bug applies to the current code, and its catching tests exist. `make seeded-bugs` runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from string import ascii_lowercase

import pytest

from quality.seeded_bugs.bug import Bug, DoesNotApply
from quality.seeded_bugs.bugs import BUGS
from quality.seeded_bugs.catching_tests import TestNotFound, locate
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once

# The list in docs/failure-modes.md.
NUMBERS = set(range(1, 38))


@pytest.mark.slow
def test_every_bug_applies_to_the_current_code() -> None:
    assert [problem for bug in BUGS if (problem := why_not_applicable(bug))] == []


def why_not_applicable(bug: Bug) -> str:
    try:
        bug.apply(ROOT)
    except DoesNotApply as error:
        return f"{bug.number}: {error}"
    return ""


@pytest.mark.slow
def test_every_bug_uses_only_names_that_are_defined(tmp_path: Path) -> None:
    """A bug that raises NameError would make every test fail, and so would seem to be caught."""
    for bug in BUGS:
        for path, text in bug.apply(ROOT).changed.items():
            copy = tmp_path / bug.number / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)

    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--quiet", "--select=E9,F821", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (0, "")


def test_every_test_that_must_catch_a_bug_exists() -> None:
    problems = []
    for bug in BUGS:
        assert bug.caught_by
        for test in bug.caught_by:
            try:
                locate(test, ROOT)
            except TestNotFound as error:
                problems.append(f"{bug.number}: {error}")

    assert problems == []


def test_every_bug_of_the_list_is_seeded() -> None:
    assert {int(bug.number.rstrip(ascii_lowercase)) for bug in BUGS} == NUMBERS
    assert len({bug.number for bug in BUGS}) == len(BUGS)
