"""Every way to fail that was foreseen has a test that names it: groups A to F, and of G what comes in from outside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CASES = {
    "A": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 22 24 25 26",
    "B": "1 2 3 4 5 6 7 8 9 11 12 13 14 15 16 17 18 19 21 22 23 24 25 26 28 29 30 31 32 33 34 35 36 37 38 39 40",
    "C": "1 2 3 4 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 27 28 29 30 31 32",
    "D": "1 2 3 4 5 6 7 8 9 10 11 12 14 16 17",
    "E": "1 2 3 4 5 6 7 9 10 11 12 13 14",
    "F": "1 2 3 4 5 6 7 8 9 11 12 13",
    "G": "1 3 4 6 8 10 12 13 14 15 16 17 18 19 20 21 22 23 25 27 28",
}
# D15: our credits do not expire. E8: there is one release; a second one tests that it understands the first's rows.
WRITTEN = "\n".join(
    path.read_text()
    for folder in ("tests", "quality")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != Path(__file__).name
)


@pytest.mark.once
@pytest.mark.parametrize("case", [f"{group}{number}" for group, numbers in CASES.items() for number in numbers.split()])
def test_the_case_is_named_by_a_test(case: str) -> None:
    assert re.search(rf"_{case.lower()}_|\b{case}\b", WRITTEN)
