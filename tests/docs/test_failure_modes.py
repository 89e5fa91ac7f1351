"""The ids of failure modes in the names of tests are explained in docs/failure-modes.md, which names the tests."""

from __future__ import annotations

import re

import pytest

from quality.structure.source import ROOT

pytestmark = pytest.mark.once

PAGE = (ROOT / "docs/failure-modes.md").read_text()
# Id, and the files that the last column names.
ROWS = {
    id_: re.findall(r"`(tests/[^`]+)`", rest) for id_, rest in re.findall(r"^\| ([A-K]\d+) \|(.*)$", PAGE, re.MULTILINE)
}


def files_by_id() -> dict[str, set[str]]:
    """The files with tests that have an id in their name."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for ids in re.findall(r"def test_((?:[a-k]\d{1,2}_)+)", path.read_text()):
            for id_ in ids.strip("_").upper().split("_"):
                found.setdefault(id_, set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_id_in_the_name_of_a_test_is_explained() -> None:
    assert len(files_by_id()) > 80
    assert set(files_by_id()) - set(ROWS) == set()


def test_the_named_files_have_the_tests() -> None:
    wrong = {id_: files for id_, files in files_by_id().items() if ROWS.get(id_) and not files & set(ROWS[id_])}

    assert wrong == {}
