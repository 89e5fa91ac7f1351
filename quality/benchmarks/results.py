"""What a benchmark measures: values of both sides, taken alternately, and what the table says of them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

_COMPARE = {"≥": operator.ge, "≤": operator.le}


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What is to be reached: at least or at most a limit, by the value itself or by the ratio to the other side."""

    of: Literal["ratio", "value"]
    comparison: Literal["≥", "≤"]
    limit: float

    def __str__(self) -> str:
        return f"{self.comparison} {self.limit:g}" + (" ×" if self.of == "ratio" else "")


@dataclass(kw_only=True)
class Result:
    """One line of the table."""

    row: str
    """The name that selects the benchmark on the command line."""
    what: str
    unit: str
    limn: list[float] = field(default_factory=list)
    """One value for each alternation."""
    against: str = ""
    """What it is compared with."""
    other: list[float] = field(default_factory=list)
    """The values of the other side, each from the same alternation."""
    aim: Aim | None = None
    cpu_ms: dict[str, float] = field(default_factory=dict)
    """CPU time for each request or job, by the side and the process that used it, in milliseconds."""
    note: str = ""
    has_ratio: bool = True
    """Whether the quotient of both sides means something. It does not for a difference."""
    error: str = ""
    """Why there is no result."""

    @property
    def ratios(self) -> list[float]:
        if not self.has_ratio:
            return []
        return [ours / theirs for ours, theirs in zip(self.limn, self.other, strict=False) if theirs]

    @property
    def is_met(self) -> bool | None:
        """Whether the aim is reached, by the median. None: there is no aim, or no result."""
        values = self.ratios if self.aim is not None and self.aim.of == "ratio" else self.limn
        if self.aim is None or not values:
            return None
        return bool(_COMPARE[self.aim.comparison](median(values), self.aim.limit))

    def as_json(self) -> dict[str, Any]:
        """Return everything, with the medians and the spread for readers of the file."""
        aim = {"aim": str(self.aim) if self.aim else "", "is_met": self.is_met}
        sides = {"limn": self.limn, "other": self.other, "ratio": self.ratios}
        return {**asdict(self), **aim, "summary": {name: summary(values) for name, values in sides.items() if values}}


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and greatest value."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def number(value: float) -> str:
    """Return a number with about three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def spread(values: Sequence[float]) -> str:
    """Return the median, and in brackets the least and the greatest value."""
    if not values:
        return "–"
    middle = number(median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


HEADINGS = ("what", "Limn", "compared with", "its value", "ratio", "aim", "met")


def table(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return the lines of the table, without its heading."""
    met = {True: "yes", False: "no", None: ""}
    return [
        (
            f"{each.what}, {each.unit}",
            each.error or spread(each.limn),
            each.against,
            spread(each.other) if each.other else "",
            spread(each.ratios) if each.ratios else "",
            str(each.aim) if each.aim else "",
            met[each.is_met],
        )
        for each in results
    ]


def as_text(results: Sequence[Result]) -> str:
    """Return the table for a terminal, with the CPU times and notes below each line."""
    lines = [HEADINGS, *table(results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = []
    for index, line in enumerate(lines):
        text.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if index == 0:
            text.append("  ".join("-" * width for width in widths))
            continue
        result = results[index - 1]
        if result.cpu_ms:
            text.append("    CPU, ms each: " + ", ".join(f"{name} {number(ms)}" for name, ms in result.cpu_ms.items()))
        if result.note:
            text.append(f"    {result.note}")
    return "\n".join(text)
