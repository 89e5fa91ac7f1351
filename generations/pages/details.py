"""What came beside the files, as the page of a generation says it. Its shape is fal's: nothing of it is relied on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What fits beside each other; a table of more says less than the JSON does.
COLUMNS_MAX = 8


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One thing that was said, in one of three ways."""

    label: str
    words: str = ""
    columns: tuple[str, ...] = ()
    """Of a table: many things of one kind, such as the words of a speech."""
    rows: tuple[tuple[str, ...], ...] = ()
    json: str = ""
    """Everything else."""


def details_in_words(details: Mapping[str, Any]) -> list[Detail]:
    """What can be said in a word or two stands first. PostgreSQL keeps no order, so there is one here."""
    said = [_detail(name, value) for name, value in details.items()]
    return sorted(said, key=lambda detail: (not detail.words, detail.label))


def _detail(name: str, value: Any) -> Detail:
    label = _label(name)
    if _is_plain(value):
        return Detail(label=label, words=_words(value))
    if isinstance(value, list) and all(map(_is_plain, value)):
        return Detail(label=label, words="\n".join(map(_words, value)))
    if columns := _columns(value):
        rows = tuple(tuple(_words(row.get(column)) for column in columns) for row in value)
        return Detail(label=label, columns=tuple(map(_label, columns)), rows=rows)
    return Detail(label=label, json=json.dumps(value, ensure_ascii=False))


def _columns(value: Any) -> list[str]:
    """Of a list of objects that hold plain values, and not too many of them."""
    if not isinstance(value, list) or not all(map(_is_row, value)):
        return []
    first, columns = value[0], {column for row in value for column in row}
    # Words before numbers, and a start before an end.
    in_order = sorted(
        columns, key=lambda column: (not isinstance(first.get(column), str), _number(first, column), column)
    )
    return in_order if len(columns) <= COLUMNS_MAX else []


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_plain, value.values()))


def _number(row: Mapping[str, Any], column: str) -> float:
    value = row.get(column)
    return value if isinstance(value, int | float) else 0


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
