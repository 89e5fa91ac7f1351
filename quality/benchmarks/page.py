"""Keeps the published results: docs/performance.json, the tables of docs/performance.md, and the chart.

The page's tables stand between markers and are made from the JSON alone; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quality.benchmarks import chart
from quality.benchmarks.results import HEADINGS, number
from quality.chaos.processes import ROOT

DATA = ROOT / "docs/performance.json"
PAGE = ROOT / "docs/performance.md"
CHART = ROOT / "docs/images/performance.svg"
BEGIN, END = "<!-- measured: written by make bench -->", "<!-- end of what was measured -->"
_MET = {True: "yes", False: "no", None: ""}


def publish(results: Sequence[Mapping[str, Any]]) -> None:
    """Replace the published results of the same rows, and write data, page and chart."""
    measured = {result["row"] for result in results}
    earlier = json.loads(DATA.read_text()) if DATA.exists() else []
    kept = [result for result in earlier if result["row"] not in measured]
    order = {
        name: index for index, name in enumerate(dict.fromkeys([result["row"] for result in [*earlier, *results]]))
    }
    merged = sorted([*kept, *results], key=lambda result: order[result["row"]])
    DATA.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    CHART.parent.mkdir(exist_ok=True)
    CHART.write_text(chart.draw(merged))
    PAGE.write_text(updated(PAGE.read_text(), merged))


def updated(page: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Return the page with the tables of these results between the markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{as_markdown(results)}\n\n{END}{after}"


def as_markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """Return where and when was measured, the table of the results, and that of the CPU times."""
    lines = [_about(about, results) for about in _distinct([result["about"] for result in results])]
    lines += ["", _line(HEADINGS), _line(["---"] * len(HEADINGS))]
    lines += [_line(_cells(result)) for result in results]
    lines += ["", "CPU time of each request or job, in milliseconds:", "", _line(["what", "process", "ms"])]
    lines.append(_line(["---"] * 3))
    for result in results:
        lines += [_line([result["what"], name, number(ms)]) for name, ms in result["cpu_ms"].items()]
    return "\n".join(lines)


def _cells(result: Mapping[str, Any]) -> list[str]:
    summary = result["summary"]
    what = f"{result['what']}, {result['unit']}"
    return [
        what + (f" ({result['note']})" if result["note"] else ""),
        result["error"] or _spread(summary.get("limn")),
        result["against"],
        _spread(summary.get("other")),
        _spread(summary.get("ratio")),
        result["aim"],
        _MET[result["is_met"]],
    ]


def _spread(summary: Mapping[str, float] | None) -> str:
    if summary is None:
        return ""
    middle, least, greatest = (number(summary[name]) for name in ("median", "min", "max"))
    return middle if least == greatest else f"{middle} ({least}–{greatest})"


def _about(about: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """Describe a run. Rows that a later run has replaced are not named."""
    rows = list(dict.fromkeys(result["row"] for result in results if result["about"] == about))
    before, after = (", ".join(f"{value:.1f}" for value in about[f"load {when}"]) for when in ("before", "after"))
    return (
        f"Commit {about['commit']}, measured at {about['at']} ({', '.join(rows)}): {about['cores']} cores, "
        f"PostgreSQL {about['postgresql']}, Python {about['python']}; load before {before}, after {after}.\n"
    )


def _distinct(abouts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return list({json.dumps(about, sort_keys=True): about for about in abouts}.values())


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
