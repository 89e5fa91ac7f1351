"""The picture of the architecture: it is up to date, and drawn from the imports."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from quality.structure import graph, picture, source
from quality.structure.captions import CAPTIONS
from quality.structure.layout import arrange

pytestmark = pytest.mark.once

MODULES = {
    "config.urls": "import generations.api, simulator.server",
    "simulator.server": "import generations.models",
    "generations.api": "import generations.workers",
    "generations.workers": "import generations.inbox",
    "generations.inbox": "import generations.models",
    "generations.models": "import credits.ledger",
    "credits.ledger": "",
}


@pytest.fixture(scope="module")
def imports() -> graph.Graph:
    """The imports of this repository. Parsing all its files takes seconds."""
    return graph.of(source.Checkout(source.ROOT))


def test_the_committed_picture_is_current(imports: graph.Graph) -> None:
    """If this fails: make structure ARGS="--picture docs/architecture.svg"."""
    assert (source.ROOT / "docs/architecture.svg").read_text() == picture.draw(imports)


def test_every_component_has_a_caption(imports: graph.Graph) -> None:
    assert set(CAPTIONS) == set(imports.components)


def test_what_is_imported_is_drawn_below_its_importer(checkout) -> None:
    layout = arrange(graph.of(checkout(MODULES)), lambda _: 100)

    assert len(layout.lines) == 7
    assert [line for line in layout.lines if line[0].row >= line[-1].row] == []


def test_boxes_and_bends_of_a_row_do_not_overlap(checkout) -> None:
    layout = arrange(graph.of(checkout(MODULES)), lambda _: 100)

    for row in layout.rows:
        edges = [edge for spot in row for edge in (layout.left([spot]), layout.right([spot]))]
        assert edges == sorted(edges)


def test_only_the_parts_of_the_core_are_inside_its_frame(checkout) -> None:
    layout = arrange(graph.of(checkout(MODULES)), lambda _: 100)
    inside = [box for box in layout.boxes if box.is_inside]

    assert {box.name for box in inside} == {name for name in MODULES if name.startswith("generations.")}
    assert layout.left(box for box in layout.boxes if box.name == "simulator") > layout.right(inside)


def test_the_picture_is_well_formed_and_names_each_component(checkout) -> None:
    drawn = ET.fromstring(picture.draw(graph.of(checkout(MODULES))))  # noqa: S314  (the text was made here)

    names = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text") if text.get("class") == "name"}
    assert names == {"config", "simulator", "api", "workers", "inbox", "models", "credits"}
