"""A checkout of a few small modules, for the tests of `quality.structure`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quality.structure.source import Checkout

PYPROJECT = """
[[tool.importlinter.contracts]]
type = "layers"
layers = ["config", "generations", "credits"]

[[tool.importlinter.contracts]]
type = "layers"
containers = ["generations"]
layers = ["api | (pages)", "(workers) : (inbox)", "models"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[..., Checkout]:
    """Writes modules into a folder: `checkout({"credits.ledger": "import config"})`."""

    def write(modules: dict[str, str]) -> Checkout:
        (tmp_path / "pyproject.toml").write_text(PYPROJECT)
        for name, text in modules.items():
            path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in path.relative_to(tmp_path).parents[:-1]:
                (tmp_path / folder / "__init__.py").touch()
            path.write_text(text)
        return Checkout(tmp_path)

    return write
