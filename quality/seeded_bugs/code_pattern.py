"""Finds a piece of Python code by its structure, so that formatting, comments and docstrings do not matter.

A pattern is an expression or a statement. `...` in a pattern stands for any expression; as the last argument of a
call it stands for all remaining arguments, and as the body of a statement for any body. `refuse(404, ...)` finds every
call of `refuse` whose first argument is 404.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Match:
    """A piece of code, and where it stands in the source."""

    node: ast.expr | ast.stmt
    start: int
    """Index of its first byte in the UTF-8 source."""
    end: int

    @property
    def indentation(self) -> str:
        return " " * self.node.col_offset


def find(source: str, pattern: str, *, within: str = "") -> list[Match]:
    """Return every piece of the source that matches the pattern.

    Args:
        source: A module.
        pattern: An expression, or one statement.
        within: The qualified name of the function or class to search, such as `Copier.run`. Without one, the whole
            module is searched.
    """
    # An expression is parsed as a statement that consists of it, but may stand anywhere in the module.
    statement = ast.parse(pattern).body[0]
    wanted = statement.value if isinstance(statement, ast.Expr) else statement
    scope = find_definition(source, within) if within else ast.parse(source)
    nodes = ast.walk(scope) if scope is not None else iter(())
    return [locate(source, node) for node in nodes if isinstance(node, ast.expr | ast.stmt) and _matches(wanted, node)]


def find_definition(source: str, qualified_name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None:
    """Return the function or class of this name, or None."""
    names = qualified_name.split(".")
    scope: Any = ast.parse(source)
    for name in names:
        definitions = (
            node
            for node in scope.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name
        )
        scope = next(definitions, None)
        if scope is None:
            return None
    return scope  # type: ignore[no-any-return]


def locate(source: str, node: ast.expr | ast.stmt) -> Match:
    """Return where a node of the parsed source stands."""
    line_starts = [0]
    for line in source.encode().splitlines(keepends=True):
        line_starts.append(line_starts[-1] + len(line))
    start = line_starts[node.lineno - 1] + node.col_offset
    return Match(node=node, start=start, end=line_starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0))


def _matches(pattern: Any, node: Any) -> bool:
    if _is_wildcard(pattern):
        return isinstance(node, ast.expr | ast.stmt)
    if isinstance(pattern, list):
        if pattern and _is_wildcard(pattern[-1]):
            pattern, node = pattern[:-1], node[: len(pattern) - 1]
        return len(pattern) == len(node) and all(map(_matches, pattern, node))
    if not isinstance(pattern, ast.AST):
        return bool(pattern == node)
    if type(pattern) is not type(node):
        return False
    # `ctx` says whether a name is read or assigned, which depends on the place and not on the code.
    fields = [name for name in pattern._fields if name != "ctx"]
    if isinstance(pattern, ast.Call) and pattern.args and _is_wildcard(pattern.args[-1]) and not pattern.keywords:
        fields.remove("keywords")
    return all(_matches(getattr(pattern, name), getattr(node, name)) for name in fields)


def _is_wildcard(node: Any) -> bool:
    inner = node.value if isinstance(node, ast.Expr) else node
    return isinstance(inner, ast.Constant) and inner.value is ...


def replace(source: str, match: Match, new: str) -> str:
    """Return the source with other code in the place of a match.

    Statements are indented as the match is; an expression is taken as it is written.
    """
    content = source.encode()
    indented = new.replace("\n", f"\n{match.indentation}") if isinstance(match.node, ast.stmt) else new
    return (content[: match.start] + indented.encode() + content[match.end :]).decode()


def add_import(source: str, statement: str) -> str:
    """Return the source with an import at its top; an empty statement changes nothing."""
    if not statement:
        return source
    lines = source.splitlines(keepends=True)
    position = 0
    for node in ast.parse(source).body:
        # The docstring and `from __future__` imports must stay in front.
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        position = node.end_lineno or 0
    return "".join([*lines[:position], f"{statement}\n", *lines[position:]])
