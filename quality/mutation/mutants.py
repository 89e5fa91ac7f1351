"""Makes the mutants of a module: its source with one small change each.

Every mutation operator is applied at every place of the syntax tree. What no test can judge is left unchanged:
module constants such as time-outs, annotations, and log messages.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Any

from quality.mutation.operators import OPERATORS

# Types have no effect at run time.
SKIPPED_FIELDS = ("annotation", "returns", "type_params")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A changed module."""

    module: str
    function: str
    """The qualified name of the function that was changed; empty at the top level of the module."""
    line: int
    before: str
    """The statement that was changed."""
    after: str
    source: str
    """The whole changed module."""

    def __str__(self) -> str:
        """Name the function and the difference, with a few characters around it."""
        start = _common_prefix_length(self.before, self.after)
        end = _common_prefix_length(self.before[start:][::-1], self.after[start:][::-1])
        shown = [text[max(start - 25, 0) : len(text) - max(end - 15, 0)] for text in (self.before, self.after)]
        return f"{self.module.rpartition('.')[2]}.{self.function or 'top'}: {shown[0]}  →  {shown[1]}"


def _common_prefix_length(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a node is attached in the syntax tree."""

    parent: Any
    field: str
    index: int | None
    function: str
    statement: ast.stmt
    """The innermost statement that contains the node."""

    def get(self) -> Any:
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module once.

    Args:
        module: Its dotted name.
        source: Its source. Mutants lose its comments and its formatting.
    """
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    for place in _places(tree, "", None):
        original = place.get()
        before = _first_line(place.statement)
        if isinstance(original, ast.Constant) and not place.function:
            # A constant such as a time-out is a judgement that no test can know better.
            continue
        for variant in chain.from_iterable(operator(original) for operator in OPERATORS):
            place.put(ast.fix_missing_locations(ast.copy_location(variant, original)))
            mutated = ast.unparse(tree)
            after = _first_line(variant if original is place.statement else place.statement)
            place.put(original)
            # Two operators can make the same mutant.
            if mutated in seen:
                continue
            seen.add(mutated)
            yield Mutant(
                module=module,
                function=place.function,
                line=place.statement.lineno,
                before=before,
                after=after,
                source=mutated,
            )


def _places(node: ast.AST, function: str, statement: ast.stmt | None) -> Iterator[Place]:
    for field, value in ast.iter_fields(node):
        if field in SKIPPED_FIELDS:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_skipped(child):
                continue
            containing = child if isinstance(child, ast.stmt) else statement
            name = function
            # Decorators and defaults are evaluated outside the function that they belong to.
            if field == "body" and isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = f"{function}.{node.name}" if function else node.name
            if containing is not None:
                yield Place(parent=node, field=field, index=index, function=name, statement=containing)
            yield from _places(child, name, containing)


def _is_skipped(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.AnnAssign):
        return True
    if not isinstance(node, ast.Expr):
        return False
    is_docstring = isinstance(node.value, ast.Constant)
    return is_docstring or ast.unparse(node).startswith(("logger.", "failpoints."))


def _first_line(statement: ast.AST) -> str:
    """Return a statement as one line; of a compound statement, only its head."""
    if isinstance(statement, ast.FunctionDef):
        return " ".join([*(f"@{ast.unparse(one)}" for one in statement.decorator_list), f"def {statement.name}"])
    lines = ast.unparse(statement).splitlines()
    return lines[0] if isinstance(statement, ast.If | ast.For | ast.With | ast.Try) else " ".join(lines)
