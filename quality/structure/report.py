"""Prints figures as tables of Markdown or as JSON: one column for each revision, one row for each figure or package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low

from quality.structure.figures import Figures, percent, share
from quality.structure.limits import Limit


def table(revisions: Mapping[str, Figures]) -> str:
    """Return the figures of each revision side by side."""
    summaries = [figures.summary() for figures in revisions.values()]
    rows = [[name, *(f"{summary.get(name, '')}" for summary in summaries)] for name in summaries[-1]]
    return _markdown(["figure", *revisions], rows)


def packages(figures: Figures) -> str:
    """Return the size of each package, and its shares of single-use helpers, comments and docstrings."""
    rows = []
    for package, files in sorted(figures.packages().items()):
        functions = [function for file in files for function in file.functions]
        single_use = sum(function.is_single_use for function in functions)
        rows.append(
            [
                package,
                len(files),
                sum(file.lines for file in files),
                len(functions),
                median_low([function.lines for function in functions] or [0]),
                percent(single_use, len(functions)),
                share("comment_lines", files),
                share("docstring_lines", files),
            ]
        )
    heads = ["package", "files", "lines", "functions", "median", "single-use, %", "comments, %", "docstrings, %"]
    return _markdown(heads, rows)


def excesses(limits: Iterable[Limit], *, places_max: int) -> str:
    """Return the limits that are exceeded, each with up to `places_max` places in the code."""
    lines = []
    for limit in (limit for limit in limits if limit.is_exceeded):
        hidden = len(limit.places) - places_max
        lines += [str(limit), *(f"    {place}" for place in limit.places[:places_max])]
        lines += [f"    and {hidden} more (--all lists them)"] if hidden > 0 else []
    return "\n".join(["Over the limit:", *lines] if lines else ["Nothing is over a limit."])


def as_json(revisions: Mapping[str, Figures]) -> str:
    """Return the figures, the dependencies and the exceeded places of each revision."""
    found = {
        name: {
            "figures": figures.summary(),
            "dependencies": figures.graph.dependencies,
            "upward": figures.graph.upward,
            "cycles": figures.graph.cycles,
            "longest_chain": figures.graph.longest_chain,
            "single_use": [function.place for function in figures.single_use],
        }
        for name, figures in revisions.items()
    }
    return json.dumps(found, indent=2)


def _markdown(heads: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    cells = [[f"{cell}" for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    # Names to the left, numbers to the right.
    lines = [
        "| "
        + " | ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        + " |"
        for row in cells
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
