"""Every seeded bug applies to the current code, and its catching tests exist. `make seeded-bugs` runs them."""

from __future__ import annotations

import ast

import pytest

from quality.seeded_bugs.bug import DoesNotApply
from quality.seeded_bugs.bugs import BUGS
from quality.seeded_bugs.catching_tests import TestNotFound, locate
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once

# The list in docs/failure-modes.md has twenty bugs.
NUMBERS = set(range(1, 21))


def test_every_bug_applies_to_the_current_code() -> None:
    problems = []
    for bug in BUGS:
        try:
            changed = bug.apply(ROOT).changed
        except DoesNotApply as error:
            problems.append(f"{bug.number}: {error}")
        else:
            assert [ast.parse(text) for text in changed.values()]

    assert problems == []


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
    assert {int(bug.number.rstrip("abcdefgh")) for bug in BUGS} == NUMBERS
    assert len({bug.number for bug in BUGS}) == len(BUGS)
