"""Limn's own source code, for tests that check it: which files there are, and their syntax trees."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from quality.structure.source import ROOT, Checkout

__all__ = ["ROOT", "code_files", "files_of_tests", "functions", "imported_modules", "name", "tracked_files", "tree"]


def code_files() -> list[Path]:
    """Every Python file of the product, the simulator and `quality`, without the migrations."""
    return [ROOT / module.path for module in Checkout(ROOT).code]


def files_of_tests() -> list[Path]:
    """Every Python file below `tests`."""
    return [ROOT / module.path for module in Checkout(ROOT).tests]


def tracked_files() -> list[Path]:
    """The files that git tracks or would add. Without git, every file outside of hidden folders."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not path.relative_to(ROOT).parts[0].startswith(".")]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file, parsed once."""
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imported_modules(path: Path) -> set[str]:
    """The full names of what a file imports. `from a import b` gives both `a` and `a.b`, as either may be a module."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def name(path: Path) -> str:
    """The path of a file relative to the repository."""
    return str(path.relative_to(ROOT))
