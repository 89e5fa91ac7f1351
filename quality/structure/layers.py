"""The layer order of a checkout, as its `pyproject.toml` declares it for import-linter.

`make lint` enforces the contracts; this module reads the same contracts, so that the figures, the picture and the check
cannot contradict each other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Layers:
    """One contract: from the highest layer to the lowest, each with the packages and modules that it holds."""

    order: tuple[tuple[str, ...], ...]
    independent: frozenset[str]
    """The members that must not import their siblings of the same layer."""

    def level(self, component: str) -> int | None:
        """The number of the layer that holds this component or its parent; 0 is the highest."""
        member = self._member(component)
        return next((level for level, members in enumerate(self.order) if member in members), None)

    def forbids(self, importer: str, imported: str) -> bool:
        above, below = self.level(importer), self.level(imported)
        if above is None or below is None or self._member(importer) == self._member(imported):
            return False
        return above > below or (above == below and self._member(importer) in self.independent)

    def _member(self, component: str) -> str | None:
        candidates = (component, component.partition(".")[0])
        return next((name for name in candidates if any(name in members for members in self.order)), None)


def read(root: Path) -> list[Layers]:
    """The contracts of type "layers" in the checkout at `root`, in the order of the file."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [layers for contract in contracts if contract["type"] == "layers" for layers in _layers(contract)]


def _layers(contract: dict[str, Any]) -> Iterator[Layers]:
    # "(api) | (pages)": brackets mark a module as optional, a bar separates siblings that must not import each other,
    # a colon separates siblings that may.
    for container in contract.get("containers", [""]):
        prefix = f"{container}." if container else ""
        order = [[f"{prefix}{name}" for name in re.findall(r"[\w.]+", layer)] for layer in contract["layers"]]
        independent = {
            name for members, layer in zip(order, contract["layers"], strict=True) if "|" in layer for name in members
        }
        yield Layers(tuple(tuple(members) for members in order), frozenset(independent))
