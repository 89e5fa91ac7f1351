"""The lists in the documentation are those of the code."""

from __future__ import annotations

import re

import pytest

from operations.alert_rules import TITLES
from quality.seeded_bugs.bugs import BUGS
from quality.structure.source import ROOT

pytestmark = pytest.mark.once

PRODUCT = ("config", "operations", "notifications", "generations", "accounts", "credits", "database")


def test_the_seeded_bugs_are_listed() -> None:
    page = (ROOT / "docs/seeded-bugs.md").read_text()

    assert re.findall(r"^\| (\d+[a-z]?) \| (.+) \|$", page, re.MULTILINE) == [
        (bug.number, bug.sentence) for bug in BUGS
    ]


def test_every_word_of_make_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    words = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (help .*)$", makefile, re.MULTILINE)
    pages = "\n".join(path.read_text() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

    assert [word for word in words if f"make {word}" not in pages] == ["help"]
    # `make docs` would do nothing otherwise, because there is a folder of this name.
    assert set(words) - set(phony.split()) == set()


def test_the_log_messages_are_those_of_the_code() -> None:
    page = (ROOT / "docs/deploy.md").read_text().partition("## Log messages")[2]
    messages = re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)
    code = "\n".join(path.read_text() for package in PRODUCT for path in (ROOT / package).rglob("*.py"))

    assert len(messages) > 2
    assert [message for message in messages if f'"{message}' not in code] == []


def test_the_alerts_are_listed() -> None:
    page = (ROOT / "docs/operations.md").read_text()

    assert set(re.findall(r"^\| `alert: (.+?)` \|", page, re.MULTILINE)) == set(TITLES.values())
