"""How a seeded bug finds the code that it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from quality.seeded_bugs import code_pattern
from quality.seeded_bugs.bug import DoesNotApply, SourceFiles
from quality.seeded_bugs.changes import AddDecorator, ReplaceCode

pytestmark = pytest.mark.once

SOURCE = '''"""A module."""

from __future__ import annotations


@atomic
def refuse(status):
    # A comment, and an expression in two lines.
    if (status
            == 404):
        raise Refused(404, "nothing is “here”", key=1) from None
    return rows.filter(pk=1)


class Copier:
    def run(self):
        return rows.filter(pk=1)
'''


@pytest.fixture
def files(tmp_path: Path) -> SourceFiles:
    (tmp_path / "product.py").write_text(SOURCE)
    return SourceFiles(tmp_path)


@pytest.mark.parametrize(
    "pattern, within, count",
    [
        ("status == 404", "", 1),
        ("rows.filter(pk=1)", "", 2),
        ("rows.filter(pk=1)", "Copier.run", 1),
        ("Refused(404, ...)", "", 1),
        ("Refused(...)", "", 1),
        ("Refused(404)", "", 0),
        ("raise ... from None", "", 1),
        ("if status == 404: ...", "", 1),
        ("rows.filter(pk=1)", "Copier.stop", 0),
    ],
)
def test_a_pattern_matches_by_structure(pattern: str, within: str, count: int) -> None:
    assert len(code_pattern.find(SOURCE, pattern, within=within)) == count


def test_code_is_replaced_with_its_indentation_and_import(files: SourceFiles) -> None:
    change = ReplaceCode(module="product", old="raise ... from None", new="if a:\n    b()", imports="import a")

    change.apply(files)

    text = files.changed[Path("product.py")]
    assert "== 404):\n        if a:\n            b()\n    return" in text
    assert "from __future__ import annotations\nimport a\n" in text


def test_decorators_are_added(files: SourceFiles) -> None:
    AddDecorator(module="product", function="Copier.run", decorator="cache", imports="import cache").apply(files)

    text = files.changed[Path("product.py")]
    assert "class Copier:\n    @cache\n    def run" in text


@pytest.mark.parametrize("old", ["never_written()", "rows.filter(pk=1)"])
def test_a_bug_without_exactly_one_match_does_not_apply(old: str, files: SourceFiles) -> None:
    with pytest.raises(DoesNotApply, match="matches of"):
        ReplaceCode(module="product", old=old, new="pass").apply(files)
