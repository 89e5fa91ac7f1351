"""Which packages may open connections. The layers are enforced by import-linter, see `pyproject.toml`."""

from __future__ import annotations

import pytest

from tests.helpers.source import ROOT, code_files, imported_modules, name

pytestmark = pytest.mark.once

# Each library that opens HTTP connections, and the only place in Limn that may import it.
IMPORTERS = {
    "fal_client": "generations/fal/",
    "httpx": "generations/fal/",
    "requests": "generations/safe_http/",
    "urllib3": "generations/safe_http/",
}
# Separate programs, which connect to the local machine only.
EXEMPT = ("simulator/", "quality/")


@pytest.mark.parametrize("library", IMPORTERS)
def test_only_one_place_imports_an_http_library(library: str) -> None:
    importers = {name(path) for path in code_files() if library in imported_modules(path)}

    assert {path for path in importers if not path.startswith((IMPORTERS[library], *EXEMPT))} == set()


def test_the_allowed_places_exist() -> None:
    assert [place for place in IMPORTERS.values() if not (ROOT / place).exists()] == []
