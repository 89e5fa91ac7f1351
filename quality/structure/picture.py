"""Draws the architecture as an SVG file: layers from top to bottom, a box for each component, a line for each import.

`make structure ARGS="--picture docs/architecture.svg"` writes the file that `docs/architecture.md` shows, and a test
compares the two. The colours follow the reader's light or dark theme; the picture has a background of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from quality.structure.captions import CAPTIONS
from quality.structure.graph import CORE, Graph
from quality.structure.layout import Layout, Spot, arrange

MARGIN = 32.0
BOX_HEIGHT = 46.0
ROW_HEIGHT = 86.0
FRAME_PADDING = 22.0
# Wide enough for the system fonts of Linux, macOS and Windows.
NAME_LETTER, CAPTION_LETTER, BOX_PADDING = 9.2, 6.0, 24.0
# Between the ends of two lines at the same box.
PORT_GAP = 10.0

STYLE = """
  .paper { fill: #fbfbf9 }
  .frame { fill: #f2f2ee; stroke: #dcdcd5; stroke-linejoin: round }
  .box { fill: #fff; stroke-width: 1.5 }
  .line { fill: none; stroke-width: 1.5; stroke-opacity: .7 }
  text { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; text-anchor: middle }
  .name { font-size: 14px; font-weight: 600; fill: #1d1f22 }
  .caption { font-size: 11px; fill: #62666c }
  .frame-name { font-size: 14px; font-weight: 600; fill: #8b8e93; text-anchor: end }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #15171a }
    .frame { fill: #1c1f23; stroke: #33373d }
    .box { fill: #25292e }
    .name { fill: #eceeef }
    .caption { fill: #a3a8ae }
  }
"""
# One for each row, in turn: a line has the colour of the box that imports. They stand out on light and on dark paper.
HUES = ("#5b7fd6", "#2a9d8f", "#c77d2e", "#9a6bc9", "#4f9d4f", "#c9587f", "#3a94b8", "#98892f")


def draw(graph: Graph) -> str:
    """Return the picture of a graph that has no cycle and no upward dependency, as the text of an SVG file."""
    layout = arrange(graph, _width)
    width = layout.right(layout.x) + 2 * MARGIN
    height = len(layout.rows) * ROW_HEIGHT - (ROW_HEIGHT - BOX_HEIGHT) + 2 * MARGIN
    # The frame around the core has room for its name below the last row.
    core = [spot for row in layout.rows for spot in row if spot.is_inside]
    left, right = layout.left(core) - FRAME_PADDING, layout.right(core) + FRAME_PADDING
    top, bottom = min(map(_top, core)) - FRAME_PADDING, max(map(_top, core)) + BOX_HEIGHT + FRAME_PADDING + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">',
        "<title>The packages of Limn and what they import</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="12"/>',
        f'<g transform="translate({MARGIN:g} {MARGIN:g})">',
        f'<path class="frame" d="M{left:.1f} {top:g}H{right:.1f}V{bottom:g}H{left:.1f}z"/>',
        f'<text class="frame-name" x="{right - 14:.1f}" y="{bottom - 12:g}">{CORE}</text>',
        *_lines(layout),
    ]
    for box in layout.boxes:
        middle, edge, top = layout.x[box], layout.x[box] - box.width / 2, _top(box)
        name, caption = escape(_short(box.name)), escape(CAPTIONS.get(box.name, ""))
        size = f'width="{box.width:.1f}" height="{BOX_HEIGHT:g}"'
        parts += [
            f'<rect class="box" x="{edge:.1f}" y="{top:g}" {size} rx="8" stroke="{_hue(box)}"/>',
            f'<text class="name" x="{middle:.1f}" y="{top + 20:g}">{name}</text>',
            f'<text class="caption" x="{middle:.1f}" y="{top + 36:g}">{caption}</text>',
        ]
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _width(component: str) -> float:
    name, caption = len(_short(component)) * NAME_LETTER, len(CAPTIONS.get(component, "")) * CAPTION_LETTER
    return max(name, caption) + BOX_PADDING


def _short(component: str) -> str:
    return component.removeprefix(f"{CORE}.")


def _top(spot: Spot) -> float:
    return spot.row * ROW_HEIGHT


def _hue(spot: Spot) -> str:
    return HUES[spot.row % len(HUES)]


def _lines(layout: Layout) -> Iterator[str]:
    """Yield each dependency as a curve that leaves and enters the boxes vertically, straight through its bends."""
    starts = _ports(layout, [(line[0], line[1]) for line in layout.lines])
    ends = _ports(layout, [(line[-1], line[-2]) for line in layout.lines])
    for line in layout.lines:
        places = [starts[line[0], line[1]], *(layout.x[spot] for spot in line[1:-1]), ends[line[-1], line[-2]]]
        # Both handles of a curve lie half-way between two rows, right below its start and right above its end.
        path = f"M{places[0]:.1f} {_top(line[0]) + BOX_HEIGHT:g}"
        for (upper, lower), (before, after) in zip(pairwise(line), pairwise(places), strict=True):
            bottom, top = _top(upper) + BOX_HEIGHT, _top(lower)
            middle = (bottom + top) / 2
            path += f"C{before:.1f} {middle:g} {after:.1f} {middle:g} {after:.1f} {top:g}"
            path += f"V{top + BOX_HEIGHT:g}" if lower.is_bend else "m-3.5 -6l3.5 6l3.5 -6"
        yield f'<path class="line" d="{path}" stroke="{_hue(line[0])}"/>'


def _ports(layout: Layout, ends: Sequence[tuple[Spot, Spot]]) -> dict[tuple[Spot, Spot], float]:
    """Return where the lines of a box begin or end, by the box and the next spot: side by side, in pixels."""
    others: dict[Spot, list[Spot]] = {}
    for box, other in sorted(ends, key=lambda end: layout.x[end[1]]):
        others.setdefault(box, []).append(other)
    return {
        (box, other): layout.x[box] + (index - (len(around) - 1) / 2) * PORT_GAP
        for box, around in others.items()
        for index, other in enumerate(around)
    }
