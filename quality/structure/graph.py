"""Which component imports which, and what follows from it: upward dependencies, cycles, depth.

A component is a package or module at the granularity at which the architecture is drawn; the package docstring defines
it. Relative imports are not used in this repository and are not followed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from quality.structure import layers
from quality.structure.layers import Layers
from quality.structure.source import Checkout, Module

# The package that is drawn by its parts.
CORE = "generations"

Dependency = tuple[str, str]


@dataclass(frozen=True)
class Graph:
    """The components of a checkout and their dependencies."""

    components: tuple[str, ...]
    imports: Mapping[Dependency, tuple[str, ...]]
    """For each dependency (importer, imported), the modules that import."""
    contracts: tuple[Layers, ...] = ()

    @cached_property
    def dependencies(self) -> list[Dependency]:
        return sorted(self.imports)

    @cached_property
    def upward(self) -> list[Dependency]:
        """The dependencies that the layer order forbids."""
        return [pair for pair in self.dependencies if any(contract.forbids(*pair) for contract in self.contracts)]

    @cached_property
    def unconstrained(self) -> list[str]:
        """The components of the core that stand in no layer of it, so that nothing limits what they import there."""
        inner = [contract for contract in self.contracts if any("." in name for name in contract.order[0])]
        parts = [name for name in self.components if name.startswith(f"{CORE}.")]
        return [name for name in parts if all(contract.level(name) is None for contract in inner)]

    @cached_property
    def cycles(self) -> list[list[str]]:
        """The sets of components that import each other, directly or through others."""
        return [group for group in groups(self.components, self.dependencies) if len(group) > 1]

    @cached_property
    def longest_chain(self) -> list[str]:
        """The longest chain of downward dependencies, from its top; a cycle is one link of it."""
        downward = [pair for pair in self.dependencies if pair not in self.upward]
        below: dict[str, list[str]] = {}
        # `groups` lists what is imported before what imports it, so the chains below a group are known by then.
        for group in groups(self.components, downward):
            chains = [below[imported] for importer, imported in downward if importer in group and imported not in group]
            chain = [" + ".join(group), *max(chains, key=len, default=[])]
            below |= dict.fromkeys(group, chain)
        return max(below.values(), key=len, default=[])


def of(checkout: Checkout) -> Graph:
    """Read the imports of a checkout."""
    modules = {module.name for module in checkout.code}
    imports: dict[Dependency, set[str]] = {}
    for module in checkout.code:
        for name in _imported(module, modules):
            pair = (component(module.name), component(name))
            if pair[0] != pair[1] and CORE not in pair:
                imports.setdefault(pair, set()).add(module.name)
    return Graph(
        tuple(sorted({component(name) for name in modules} - {CORE})),
        {pair: tuple(sorted(importers)) for pair, importers in imports.items()},
        tuple(layers.read(checkout.root)),
    )


def component(module: str) -> str:
    """Return the component that a module belongs to.

    `generations` itself stands for the empty package around its parts.
    """
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == CORE else parts[0]


def _imported(module: Module, modules: set[str]) -> Iterator[str]:
    """Yield the modules of this repository that a module imports."""
    for node in ast.walk(module.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from a import b` imports the module `a.b` if there is one, and else a name of the module `a`.
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names = [name if name in modules else node.module for name in whole]
        yield from (name for name in names if name in modules)


def groups(components: Iterable[str], dependencies: Iterable[Dependency]) -> list[list[str]]:
    """Return the strongly connected groups, each after every group that it depends on (Kosaraju's algorithm)."""
    below: dict[str, list[str]] = {name: [] for name in components}
    above: dict[str, list[str]] = {name: [] for name in below}
    for importer, imported in dependencies:
        below[importer].append(imported)
        above[imported].append(importer)
    seen: set[str] = set()
    finished: list[str] = []
    for name in below:
        finished += _reached(name, above, seen)
    seen.clear()
    return [group for name in reversed(finished) if (group := _reached(name, below, seen))]


def _reached(start: str, edges: Mapping[str, list[str]], seen: set[str]) -> list[str]:
    """Return what is reached from `start` and not yet in `seen`, deepest first. Adds it to `seen`."""
    if start in seen:
        return []
    seen.add(start)
    return [name for neighbour in edges[start] for name in _reached(neighbour, edges, seen)] + [start]


def reachable(start: str, dependencies: Iterable[Dependency]) -> set[str]:
    """Return every component that `start` imports, directly or through others."""
    below: dict[str, list[str]] = {}
    for importer, imported in dependencies:
        below.setdefault(importer, []).append(imported)
        below.setdefault(imported, [])
    return set(_reached(start, below, set())) - {start} if start in below else set()
