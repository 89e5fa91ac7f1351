"""The limits that this repository keeps to, and the places that exceed them.

`tests/quality/structure/test_limits.py` asserts that nothing exceeds them, and `make structure` prints what does.
`docs/decisions/0005-layers-and-packages.md` gives the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from quality.structure.figures import (
    FILE_LINES_MAX,
    FUNCTION_LINES_MAX,
    TEST_LINES_MAX,
    Figures,
)

COMPONENTS_MAX = 34
DEPTH_MAX = 9
DEPENDENCIES_MAX = 150
SINGLE_USE_PERCENT_MAX = 10
CASES_MAX = 5000
ROOT_MODULES = ("generations/apps.py", "generations/errors.py", "generations/services.py")
ROOT_NAMES = ", ".join(PurePath(path).name for path in ROOT_MODULES)


@dataclass(frozen=True)
class Limit:
    """A figure, the most that it may be, and the places in the code behind it."""

    name: str
    value: float
    maximum: float
    places: Sequence[str] = ()

    @property
    def is_exceeded(self) -> bool:
        return self.value > self.maximum

    def __str__(self) -> str:
        return f"{self.name}: {self.value:g}, at most {self.maximum:g}"


def limits(figures: Figures) -> list[Limit]:
    """Return every limit; those on test cases only where `figures` holds their number."""
    graph = figures.graph
    upward = [f"{' -> '.join(pair)}, in {', '.join(graph.imports[pair])}" for pair in graph.upward]
    cycles = [", ".join(cycle) for cycle in graph.cycles]
    loose = [path for path in figures.loose_modules if path not in ROOT_MODULES]
    single_use = [function.place for function in figures.single_use]
    long_functions = [f"{function.place}: {function.lines}" for function in figures.long_functions]
    long_tests = [f"{function.place}: {function.lines}" for function in figures.long_tests]
    long_files = [f"{file.path}: {file.lines}" for file in figures.long_files]
    return [
        Limit("components", len(graph.components), COMPONENTS_MAX),
        Limit("depth of the dependencies", len(graph.longest_chain), DEPTH_MAX, graph.longest_chain),
        Limit("dependencies", len(graph.dependencies), DEPENDENCIES_MAX),
        Limit("upward dependencies", len(upward), 0, upward),
        Limit("cycles", len(cycles), 0, cycles),
        Limit("parts of generations in no layer", len(graph.unconstrained), 0, graph.unconstrained),
        Limit(f"modules at the root of generations besides {ROOT_NAMES}", len(loose), 0, loose),
        Limit("single-use helpers, %", figures.single_use_percent, SINGLE_USE_PERCENT_MAX, single_use),
        Limit(f"functions over {FUNCTION_LINES_MAX} lines", len(long_functions), 0, long_functions),
        Limit(f"test functions over {TEST_LINES_MAX} lines", len(long_tests), 0, long_tests),
        Limit(f"files over {FILE_LINES_MAX} lines", len(long_files), 0, long_files),
        *(Limit(f"test cases on {database}", count, CASES_MAX) for database, count in figures.cases.items()),
    ]
