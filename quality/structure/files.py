"""Measures one Python file: its functions, and how many of its lines are code, comments and docstrings."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from quality.structure.source import Module


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function or method."""

    place: str
    """`path:line name`."""
    lines: int
    is_single_use: bool
    is_test: bool


@dataclass(frozen=True, kw_only=True)
class File:
    """A Python file and what it is made of."""

    path: str
    lines: int
    code_lines: int
    comment_lines: int
    docstring_lines: int
    functions: tuple[Function, ...]

    @property
    def package(self) -> str:
        """The folder of the file: two levels below `generations`, elsewhere one."""
        folders = PurePath(self.path).parts[:-1]
        return "/".join(folders[: 2 if folders[0] == "generations" else 1])


def measure(module: Module) -> File:
    """Count the functions of a module and sort its lines."""
    docstrings = {
        line
        for node in ast.walk(module.tree)
        # Also the strings below the fields of a class, which document them.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = module.text.splitlines()
    comments = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(module.text).readline)
        if token.type == tokenize.COMMENT and lines[token.start[0] - 1].lstrip().startswith("#")
    }
    blank = {number for number, line in enumerate(lines, start=1) if not line.strip()}
    return File(
        path=module.path,
        lines=len(lines),
        code_lines=len(lines) - len(docstrings | comments | blank),
        comment_lines=len(comments),
        docstring_lines=len(docstrings),
        functions=tuple(_functions(module)),
    )


def _functions(module: Module) -> Iterator[Function]:
    uses = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute)
    )
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_private = node.name.startswith("_") and not node.name.startswith("__")
            yield Function(
                place=f"{module.path}:{node.lineno} {node.name}",
                lines=(node.end_lineno or node.lineno) - node.lineno + 1,
                is_single_use=is_private and uses[node.name] == 1,
                is_test=node.name.startswith("test_") and PurePath(module.path).name.startswith("test_"),
            )
