"""Each failure mode of `docs/failure-modes.md` that applies is named by a test or by a chaos check, such as `A7`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quality.structure.source import ROOT

pytestmark = pytest.mark.once

# Not listed: D15, because credits do not expire, and E8, because there is only one release yet.
CASES = {
    "A": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 22 24 25 26",
    "B": "1 2 3 4 5 6 7 8 9 11 12 13 14 15 16 17 18 19 21 22 23 24 25 26 28 29 30 31 32 33 34 35 36 37 38 39 40",
    "C": "1 2 3 4 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 27 28 29 30 31 32",
    "D": "1 2 3 4 5 6 7 8 9 10 11 12 14 16 17",
    "E": "1 2 3 4 5 6 7 9 10 11 12 13 14",
    "F": "1 2 3 4 5 6 7 8 9 11 12 13",
    "G": "1 3 4 6 8 10 12 13 14 15 16 17 18 19 20 21 22 23 25 27 28",
}


def test_each_failure_mode_is_named_by_a_test() -> None:
    files = [
        path for folder in ("tests", "quality") for path in (ROOT / folder).rglob("*.py") if path != Path(__file__)
    ]
    text = "\n".join(path.read_text() for path in files)
    cases = [f"{group}{number}" for group, numbers in CASES.items() for number in numbers.split()]

    assert [case for case in cases if not re.search(rf"_{case.lower()}_|\b{case}\b", text)] == []
