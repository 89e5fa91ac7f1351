"""The table of scenarios as people read it: on the page at `/`, and in docs/simulator.md."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from simulator.scenarios import VOCABULARY, Word


def as_html() -> str:
    return f"<dl>{''.join(map(_entry, VOCABULARY))}</dl>"


def as_markdown() -> str:
    """`python -m simulator --words` prints this."""
    rows = [f"| `{written}` | {sentence} |" for word in VOCABULARY for written, sentence in _lines(word)]
    return "\n".join(["| word | what happens |", "|---|---|", *rows])


def _lines(word: Word) -> Iterator[tuple[str, str]]:
    yield word.name, word.sentence
    for choice, sentence in word.choices.items():
        yield f"{word.name}:{choice}", sentence


def _entry(word: Word) -> str:
    (name, sentence), *choices = _lines(word)
    below = "".join(f"<dd><code>{written}</code> {escape(text)}</dd>" for written, text in choices)
    return f"<dt><code>{name}</code> {escape(sentence)}</dt>{below}"
