"""The retired words are used nowhere: neither in names nor in prose. docs/glossary.md lists the words to use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.source import name, tracked_files

pytestmark = pytest.mark.once

RETIRED = (
    *("nudg(?:e|ing)", "wish", "lately", "briefly", "whoever", "anew", "teeth", "nemesis", "postman", "postmen"),
    *("watchm[ae]n", "tall(?:y|ie|ying)", "wiring", "town", "mourn", "nobody", "somebody", "of ours"),
)
# Decisions and the changelog may quote names of the time. The rest was not written by this project, or is this list.
EXEMPT = (
    "docs/decisions/",
    "CHANGELOG.md",
    "static/vendor/",
    "requirements",
    "tests/generations/catalogue/fal_schemas.json",
)
WORD = re.compile(rf"(?<![a-z])(?:{'|'.join(RETIRED)})(?:s|es|d|ed|ing)?(?![a-z])", re.IGNORECASE)


def retired_words(text: str) -> Iterator[tuple[int, str]]:
    """Find the retired words of a text, also as a part of a name in snake or camel case, with their lines."""
    for number, line in enumerate(text.splitlines(), start=1):
        for found in WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", line)):
            yield number, found


def test_no_retired_word_is_used() -> None:
    found = []
    for path in tracked_files():
        if path == Path(__file__) or name(path).startswith(EXEMPT):
            continue
        try:
            text = f"{name(path)}\n{path.read_text()}"
        except UnicodeDecodeError:
            continue  # An image.
        # The name of the file is line 0.
        found += [f"{name(path)}:{number - 1}: {word}" for number, word in retired_words(text)]

    assert found == []


@pytest.mark.parametrize(
    "text", ["two Wishes", "place_wish", "WishList", "nudged_at", "nudging", "tallied", "TOWN", "none of ours"]
)
def test_a_retired_word_is_found_in_every_spelling(text: str) -> None:
    assert len(list(retired_words(text))) == 1


def test_longer_words_are_not_retired() -> None:
    assert list(retired_words("downtown, wishbone_is_one_word, renewing")) == []
