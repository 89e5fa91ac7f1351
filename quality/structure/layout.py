"""Places the components of a graph on a plane: layer by layer from top to bottom, with few crossings.

`quality.structure.picture` draws the result. It depends on the imports and the layer order alone, so the picture
changes only when they do. The method is the layered drawing of Sugiyama: a line that spans several layers bends in each
of them, and boxes and bends are moved towards their neighbours, in sweeps from top to bottom and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from quality.structure.graph import CORE, Dependency, Graph, reachable

# The order of the boxes is settled after about ten sweeps.
SWEEPS = 30
BEND_WIDTH = 12.0
GAP = 20.0
# Between the frame around the core and what is drawn beside it.
FRAME_GAP = 60.0


@dataclass(frozen=True)
class Spot:
    """A box, or the bend of a line, in one row."""

    name: str
    """The component; of a bend, the dependency."""
    row: int
    """0 is the highest."""
    width: float
    """In pixels."""
    is_inside: bool
    """Whether it belongs inside the frame around the core."""
    is_bend: bool = False


Line = tuple[Spot, ...]
"""The spots that a line runs through, from the component that imports to the one that is imported."""


@dataclass(frozen=True)
class Layout:
    """Where everything is drawn."""

    rows: Sequence[Sequence[Spot]]
    lines: Sequence[Line]
    x: Mapping[Spot, float]
    """The middle of each spot, in pixels from the left edge of everything."""

    @property
    def boxes(self) -> list[Spot]:
        return [spot for row in self.rows for spot in row if not spot.is_bend]

    def left(self, spots: Iterable[Spot]) -> float:
        return min(self.x[spot] - spot.width / 2 for spot in spots)

    def right(self, spots: Iterable[Spot]) -> float:
        return max(self.x[spot] + spot.width / 2 for spot in spots)


def arrange(graph: Graph, width: Callable[[str], float]) -> Layout:
    """Arrange the components of a graph that has no cycle and no upward dependency.

    Args:
        width: The width of the box of a component, in pixels.
    """
    row_of = _rows(graph)
    core_rows = {row for name, row in row_of.items() if _is_core(name)}
    boxes = {name: Spot(name, row, width(name), _is_core(name)) for name, row in row_of.items()}
    # A dependency that follows from others is not drawn: of a -> b, b -> c and a -> c, the last adds nothing.
    lines: list[Line] = []
    for importer, imported in reduced(graph.dependencies):
        upper, lower, name = boxes[importer], boxes[imported], f"{importer} -> {imported}"
        # A line between two apps passes the core outside of its frame.
        is_inside = upper.is_inside or lower.is_inside
        between = range(upper.row + 1, lower.row)
        bends = (Spot(name, row, BEND_WIDTH, is_inside and row in core_rows, is_bend=True) for row in between)
        lines.append((upper, *bends, lower))
    rows: list[list[Spot]] = [[] for _ in range(max(row_of.values()) + 1)]
    for spot in dict.fromkeys([*boxes.values(), *(spot for line in lines for spot in line)]):
        rows[spot.row].append(spot)

    above: dict[Spot, list[Spot]] = {spot: [] for row in rows for spot in row}
    below: dict[Spot, list[Spot]] = {spot: [] for row in rows for spot in row}
    for line in lines:
        for upper, lower in pairwise(line):
            below[upper].append(lower)
            above[lower].append(upper)
    # Sweeping both ways lets a box settle between what is above and what is below it.
    x = {spot: 0.0 for row in rows for spot in row}
    for _ in range(SWEEPS):
        for row in rows:
            _move(row, above, x)
        for row in reversed(rows):
            _move(row, below, x)
    _move_beside_the_frame(rows, core_rows, x)
    layout = Layout(rows, lines, x)
    left = layout.left(x)
    return Layout(rows, lines, {spot: place - left for spot, place in x.items()})


def reduced(dependencies: Iterable[Dependency]) -> list[Dependency]:
    """Return the dependencies that do not follow from others (the transitive reduction)."""
    pairs = list(dependencies)
    direct: dict[str, set[str]] = {}
    for importer, imported in pairs:
        direct.setdefault(importer, set()).add(imported)
    below = {name: reachable(name, pairs) for pair in pairs for name in pair}
    return [
        (importer, imported)
        for importer, imported in pairs
        if not any(imported in below[between] for between in direct[importer])
    ]


def _is_core(component: str) -> bool:
    return component.startswith(f"{CORE}.")


def _rows(graph: Graph) -> dict[str, int]:
    """Return the row of each component that imports or is imported. One in no layer is drawn above what it imports."""
    # The layers of the core take its place in the layers of the whole project.
    outer, inner = graph.contracts[0], graph.contracts[1]
    at = next(index for index, members in enumerate(outer.order) if CORE in members)
    order = [*outer.order[:at], *inner.order, *outer.order[at + 1 :]]
    connected = {name for pair in graph.dependencies for name in pair}
    places = {name: (layer, 0) for layer, members in enumerate(order) for name in members if name in connected}
    for name in sorted(connected - set(places)):
        below = [
            places[imported] for importer, imported in graph.dependencies if importer == name and imported in places
        ]
        places[name] = (min(below, default=(len(order), 0))[0] - 1, 0)
    # Siblings that import each other are drawn below each other, in rows of their own.
    for _ in connected:
        for importer, imported in graph.dependencies:
            if places[importer][0] == places[imported][0]:
                places[imported] = max(places[imported], (places[importer][0], places[importer][1] + 1))
    used = sorted(set(places.values()))
    return {name: used.index(place) for name, place in places.items()}


def _move(row: list[Spot], neighbours: Mapping[Spot, Sequence[Spot]], x: dict[Spot, float]) -> None:
    """Sort a row by where its neighbours are and move each spot as near to them as the others allow."""
    wanted = {spot: fmean(x[other] for other in neighbours[spot]) if neighbours[spot] else x[spot] for spot in row}
    row.sort(key=lambda spot: (not spot.is_inside, wanted[spot]))
    # With the least distances subtracted, the spots must only keep their order. Those that would change it are merged
    # into blocks at their mean, which makes the sum of the squared moves as small as it can be (isotonic regression).
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + GAP)
    blocks: list[list[float]] = []
    for spot, offset in zip(row, offsets, strict=True):
        blocks.append([wanted[spot] - offset])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    places = [fmean(block) for block in blocks for _ in block]
    x |= {spot: place + offset for spot, place, offset in zip(row, places, offsets, strict=True)}


def _move_beside_the_frame(rows: Sequence[Sequence[Spot]], core_rows: set[int], x: dict[Spot, float]) -> None:
    """Move what is not of the core, but in one of its rows, to the right of the whole core."""
    edge = max(x[spot] + spot.width / 2 for row in rows for spot in row if spot.is_inside) + FRAME_GAP
    for row in core_rows:
        right = edge
        for spot in (spot for spot in rows[row] if not spot.is_inside):
            x[spot] = max(x[spot], right + spot.width / 2)
            right = x[spot] + spot.width / 2 + GAP
