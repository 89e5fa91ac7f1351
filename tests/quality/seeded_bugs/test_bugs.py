"""The seeded bugs still fit into the code, and the tests that must die of them exist. `make teeth` runs them."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from quality.seeded_bugs.bug import Bug, DoesNotApply, Replaced
from quality.seeded_bugs.bugs import BUGS
from tests.structure.source import ROOT, functions

pytestmark = pytest.mark.once

# failure-modes.md §3.2 counts twenty.
NUMBERS = set(range(1, 21))


@pytest.fixture
def product(tmp_path: Path) -> Path:
    for package in ("credits", "generations"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.number)
def test_the_bug_fits_and_is_python(bug: Bug, product: Path) -> None:
    for change in bug.changes:
        change.apply(product)

    changed = [path for path in product.rglob("*.py") if _differs(path, ROOT / path.relative_to(product))]
    assert [ast.parse(path.read_text()) for path in changed]


def _differs(path: Path, original: Path) -> bool:
    return not original.exists() or original.read_bytes() != path.read_bytes()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.number)
def test_the_tests_that_must_die_of_it_exist(bug: Bug) -> None:
    named = [test.partition("::") for test in bug.caught_by]

    assert named
    for file, _, test in named:
        assert test.partition("[")[0] in {function.name for function in functions(ROOT / file)}


def test_every_bug_of_the_list_is_seeded() -> None:
    assert {int(bug.number.rstrip("abcdefgh")) for bug in BUGS} == NUMBERS
    assert len({bug.number for bug in BUGS}) == len(BUGS)


def test_a_bug_that_no_longer_fits_says_so(product: Path) -> None:
    change = Replaced(file="credits/ledger.py", old="never written", new="")

    with pytest.raises(DoesNotApply, match="has it 0 times"):
        change.apply(product)
