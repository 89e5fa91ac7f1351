"""Formats the details of a generation: what the model returned beside its files.

The shape of details is fal's, and nothing about it is guaranteed. `describe` therefore finds the most readable form
that fits: plain text, a table, or JSON. It is called by the presenter of a generation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# As many columns fit beside each other. A wider table is harder to read than its JSON.
COLUMNS_MAX = 8


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One value in a readable form: either `text`, or `columns` and `rows`, or `json`."""

    label: str
    text: str = ""
    columns: tuple[str, ...] = ()
    """The headings of a table, for a list of similar objects such as the words of a speech with their times."""
    rows: tuple[tuple[str, ...], ...] = ()
    json: str = ""


def describe(details: Mapping[str, Any]) -> list[Detail]:
    """Return the details in a readable form: texts first, then by label.

    PostgreSQL does not keep the order of JSON objects, so they are sorted here.
    """
    described = []
    for name, value in details.items():
        label = _label(name)
        if _is_scalar(value):
            detail = Detail(label=label, text=_text(value))
        elif isinstance(value, list) and all(map(_is_scalar, value)):
            detail = Detail(label=label, text="\n".join(map(_text, value)))
        elif columns := _columns(value):
            # Rows may lack some of the keys; their cells stay empty.
            rows = tuple(tuple(_text(row.get(column)) for column in columns) for row in value)
            detail = Detail(label=label, columns=tuple(map(_label, columns)), rows=rows)
        else:
            detail = Detail(label=label, json=json.dumps(value, ensure_ascii=False))
        described.append(detail)
    return sorted(described, key=lambda detail: (not detail.text, detail.label))


def _columns(value: Any) -> list[str]:
    """Return the keys of a list of objects with scalar values, in the order of the columns.

    Empty if it makes no table.
    """
    is_table = isinstance(value, list) and all(
        isinstance(row, dict) and all(map(_is_scalar, row.values())) for row in value
    )
    if not is_table:
        return []
    first, columns = value[0], {column for row in value for column in row}

    def position(column: str) -> tuple[bool, float, str]:
        # Texts before numbers, and a start before an end: the first row decides.
        cell = first.get(column)
        return not isinstance(cell, str), cell if isinstance(cell, int | float) else 0, column

    return sorted(columns, key=position) if len(columns) <= COLUMNS_MAX else []


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
