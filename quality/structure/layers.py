"""The layer order of a checkout, as its `pyproject.toml` declares it for import-linter.

`make lint` enforces the contracts; this module reads the same contracts, so that the figures, the picture and the check
cannot contradict each other.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layers:
    """One contract: from the highest layer to the lowest, each with the packages and modules that it holds."""

    order: tuple[tuple[str, ...], ...]
    independent: frozenset[str]
    """The members that must not import their siblings of the same layer."""

    def level(self, component: str) -> int | None:
        """Return the number of the layer that holds this component or its parent; 0 is the highest."""
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
    """Return the contracts of type "layers" in the checkout at `root`, in the order of the file."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found = []
    for contract in contracts:
        # The layers of a contract with containers are named within each container.
        for container in contract.get("containers", [""]) if contract["type"] == "layers" else []:
            order, independent = [], set[str]()
            for layer in contract["layers"]:
                # "(api) | (pages)": brackets mark an optional member, a bar separates siblings that must not import
                # each other, a colon separates siblings that may.
                members = [f"{container}.{name}".lstrip(".") for name in re.findall(r"[\w.]+", layer)]
                order.append(tuple(members))
                independent |= set(members) if "|" in layer else set()
            found.append(Layers(tuple(order), frozenset(independent)))
    return found
