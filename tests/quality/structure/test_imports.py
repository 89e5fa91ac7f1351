"""Who may speak with the world. The floors of the house are import-linter's: pyproject.toml."""

from __future__ import annotations

import pytest

from tests.structure.source import ROOT, imported_modules, name, product_files

pytestmark = pytest.mark.once

# Libraries that open connections, and the only places in Limn that may use them.
SPEAKERS = {
    "fal_client": "generations/fal/",
    "httpx": "generations/fal/",
    "requests": "generations/safe_http/client.py",
}
# A program of its own, on loopback.
OUTSIDE = "simulator/"


@pytest.mark.parametrize("library", SPEAKERS)
def test_only_one_place_speaks_with_the_world(library: str) -> None:
    users = {name(path) for path in product_files() if library in imported_modules(path)}

    assert {user for user in users if not user.startswith((SPEAKERS[library], OUTSIDE))} == set()


def test_the_places_that_speak_exist() -> None:
    assert [place for place in SPEAKERS.values() if not (ROOT / place).exists()] == []
