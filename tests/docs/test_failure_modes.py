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


def mentions(text: str, id_: str) -> bool:
    """Whether a file names a failure mode, in the name of a test or in prose."""
    return bool(re.search(rf"_{id_.lower()}_|\b{id_}\b", text))


def test_every_id_in_the_name_of_a_test_is_explained() -> None:
    names = [
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def test_((?:[a-k]\d{1,2}_)+)", path.read_text())
    ]
    used = {id_.upper() for name in names for id_ in name.strip("_").split("_")}

    assert len(used) > 80
    assert used - set(ROWS) == set()


def test_every_named_file_mentions_its_failure_mode() -> None:
    named = [(id_, ROOT / file) for id_, files in ROWS.items() for file in files]

    assert len(named) > 100
    assert [f"{id_}: {path}" for id_, path in named if not (path.exists() and mentions(path.read_text(), id_))] == []
