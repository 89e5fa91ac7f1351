"""All figures of one checkout: what is measured, under which name, and which files and functions stand behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median_low, quantiles

from quality.structure import cases, files, graph
from quality.structure.files import File, Function
from quality.structure.graph import CORE, Graph
from quality.structure.source import Checkout

FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 400
TEST_LINES_MAX = 25


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One checkout, measured."""

    graph: Graph
    code: tuple[File, ...]
    tests: tuple[File, ...]
    cases: Mapping[str, int] = field(default_factory=dict)
    """For each database that was asked for, the number of test cases."""

    @cached_property
    def functions(self) -> list[Function]:
        return [function for file in self.code for function in file.functions]

    @cached_property
    def single_use(self) -> list[Function]:
        return [function for function in self.functions if function.is_single_use]

    @cached_property
    def single_use_percent(self) -> float:
        return percent(len(self.single_use), len(self.functions))

    @cached_property
    def long_functions(self) -> list[Function]:
        """Of the code and of the tests."""
        everything = [function for file in (*self.code, *self.tests) for function in file.functions]
        return [function for function in everything if function.lines > FUNCTION_LINES_MAX]

    @cached_property
    def long_files(self) -> list[File]:
        """Of the code and of the tests."""
        return [file for file in (*self.code, *self.tests) if file.lines > FILE_LINES_MAX]

    @cached_property
    def test_functions(self) -> list[Function]:
        return [function for file in self.tests for function in file.functions if function.is_test]

    @cached_property
    def long_tests(self) -> list[Function]:
        return [function for function in self.test_functions if function.lines > TEST_LINES_MAX]

    @cached_property
    def loose_modules(self) -> list[str]:
        """The modules at the root of the core that belong to no package of it."""
        return sorted(file.path for file in self.code if file.package == CORE and not file.path.endswith("__init__.py"))

    def summary(self) -> dict[str, float]:
        """Return every figure by its name. Names that end in "%" are shares of a hundred."""
        lengths = [function.lines for function in self.functions]
        return {
            "components": len(self.graph.components),
            "depth (longest chain of dependencies)": len(self.graph.longest_chain),
            "dependencies": len(self.graph.dependencies),
            "upward dependencies": len(self.graph.upward),
            "cycles": len(self.graph.cycles),
            "components in a cycle": sum(len(cycle) for cycle in self.graph.cycles),
            f"parts of {CORE} in no layer": len(self.graph.unconstrained),
            f"modules at the root of {CORE}": len(self.loose_modules),
            "files": len(self.code),
            f"files over {FILE_LINES_MAX} lines": len(self.long_files),
            "code lines": sum(file.code_lines for file in self.code),
            "comments, %": share("comment_lines", self.code),
            "docstrings, %": share("docstring_lines", self.code),
            "functions": len(self.functions),
            "single-use helpers, %": self.single_use_percent,
            "median length of a function": median_low(lengths),
            "90th percentile": round(quantiles(lengths, n=10)[-1]),
            f"functions over {FUNCTION_LINES_MAX} lines": len(self.long_functions),
            "test functions": len(self.test_functions),
            f"test functions over {TEST_LINES_MAX} lines": len(self.long_tests),
            **{f"test cases on {database}": count for database, count in self.cases.items()},
        }

    def packages(self) -> dict[str, list[File]]:
        """Return the files of the code by their package."""
        found: dict[str, list[File]] = {}
        for file in self.code:
            found.setdefault(file.package, []).append(file)
        return found


def measure(checkout: Checkout, *, with_cases: bool = False) -> Figures:
    """Measure a checkout.

    Args:
        with_cases: Also collect the tests with pytest, for each database. Takes about half a minute.
    """
    return Figures(
        graph=graph.of(checkout),
        code=tuple(files.measure(module) for module in checkout.code),
        tests=tuple(files.measure(module) for module in checkout.tests),
        cases={database: cases.count(checkout.root, database) for database in cases.DATABASES if with_cases},
    )


def share(kind: str, code: tuple[File, ...] | list[File]) -> float:
    """Return the lines of one kind (a field of `File`) for each hundred code lines."""
    return percent(sum(getattr(file, kind) for file in code), sum(file.code_lines for file in code))


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
