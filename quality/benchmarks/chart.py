"""Draws the results as an SVG file: how far each aim is reached, as bars on a logarithmic scale.

The colours follow the reader's light or dark theme; the picture has a background of its own, so that it can be read on
any page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from quality.benchmarks.results import number

WIDTH, MARGIN, ROW_HEIGHT, TOP = 1000, 24, 34, 76
LABEL_WIDTH, VALUE_WIDTH = 380, 190
# The least and the greatest part of an aim that the scale shows.
LEAST, GREATEST = 1 / 64, 8.0
STYLE = """
  .paper { fill: #fbfbf9 }
  .bar { fill: #2a9d8f }
  .missed { fill: #c77d2e }
  .spread { stroke: #1d1f22; stroke-width: 1.5 }
  .grid { stroke: #dcdcd5 }
  .aim { stroke: #1d1f22; stroke-width: 1.5; stroke-dasharray: 4 3 }
  text { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-size: 12px; fill: #1d1f22 }
  .title { font-size: 15px; font-weight: 600 }
  .small { fill: #62666c; text-anchor: middle }
  .label { text-anchor: end }
  .value { paint-order: stroke; stroke: #fbfbf9; stroke-width: 5px }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #15171a }
    .value { stroke: #15171a }
    .bar { fill: #3fb8a9 }
    .missed { fill: #d99546 }
    .spread, .aim { stroke: #eceeef }
    .grid { stroke: #33373d }
    text { fill: #eceeef }
    .small { fill: #a3a8ae }
  }
"""


def draw(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture as the text of an SVG file.

    Args:
        results: As `Result.as_json` returns them. Those without an aim are left out.
    """
    shown = [(result, reached) for result in results if (reached := _reached(result)) is not None]
    height, bottom = TOP + len(shown) * ROW_HEIGHT + MARGIN, TOP + len(shown) * ROW_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">',
        "<title>How far each aim of Limn's performance is reached</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="12"/>',
        f'<text class="title" x="{MARGIN}" y="32">As a multiple of the aim. Right of the line: reached</text>',
    ]
    for power in range(round(math.log2(LEAST)), round(math.log2(GREATEST)) + 1):
        x, label = _x(2.0**power), f"{2**power}" if power >= 0 else f"1/{2**-power}"
        parts.append(f'<text class="small" x="{x:.1f}" y="{TOP - 14}">{label}</text>')
        kind = "aim" if power == 0 else "grid"
        parts.append(f'<path class="{kind}" d="M{x:.1f} {TOP - 8}V{bottom}"/>')
    for index, (result, reached) in enumerate(shown):
        parts += _bar(result, reached, TOP + index * ROW_HEIGHT)
    return "\n".join([*parts, "</svg>", ""])


def _reached(result: Mapping[str, Any]) -> list[float] | None:
    """Return least, median and greatest multiple of the aim; None if there is no aim, or no measurement."""
    comparison, _, rest = result["aim"].partition(" ")
    values = result["summary"].get("ratio" if rest.endswith("×") else "limn")
    limit = float(rest.removesuffix(" ×") or 0)
    # An aim of zero has no multiple.
    if not values or not limit:
        return None
    ordered = [values["min"], values["median"], values["max"]]
    multiples = [value / limit if comparison == "≥" else limit / value if value else GREATEST for value in ordered]
    return sorted(multiples)


def _x(multiple: float) -> float:
    left, right = MARGIN + LABEL_WIDTH, WIDTH - MARGIN - VALUE_WIDTH
    inside = min(max(multiple, LEAST), GREATEST)
    return left + (right - left) * math.log(inside / LEAST) / math.log(GREATEST / LEAST)


def _bar(result: Mapping[str, Any], reached: list[float], top: float) -> list[str]:
    least, middle, greatest = map(_x, reached)
    left, y = _x(LEAST), top + ROW_HEIGHT / 2
    kind = "bar" if result["is_met"] else "missed"
    summary = result["summary"]
    value = f"{number(summary['limn']['median'])} {result['unit']}"
    if result["aim"].endswith("×"):
        value = f"{number(summary['ratio']['median'])} ×, {value}"
    return [
        f'<text class="label" x="{left - 10:.1f}" y="{y + 4:g}">{escape(result["what"])}</text>',
        f'<rect class="{kind}" x="{left:.1f}" y="{y - 8:g}" width="{max(middle - left, 1):.1f}" height="16" rx="2"/>',
        f'<path class="spread" d="M{least:.1f} {y:g}H{greatest:.1f}"/>',
        f'<text class="value" x="{max(middle, greatest) + 8:.1f}" y="{y + 4:g}">{escape(value)}</text>',
    ]
