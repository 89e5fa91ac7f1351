"""Makes mutants: each is the source of a module with one small change."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

OPPOSITE: dict[type[ast.AST], type[Any]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
# Their arguments are guards, or what is written: each is left out once.
TELLING = {"filter", "exclude", "update", "create", "move", "end", "touch", "note", "Entry", "Output", "Failure"}
# Types say nothing at run time.
UNTOUCHED = ("annotation", "returns", "type_params")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    module: str
    function: str
    """Its qualified name; nothing at the top of the module."""
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        """Where it is, and what differs, with a little of what stands around it."""
        begins = _alike(self.before, self.after)
        ends = _alike(self.before[begins:][::-1], self.after[begins:][::-1])
        shown = [text[max(begins - 25, 0) : len(text) - max(ends - 15, 0)] for text in (self.before, self.after)]
        return f"{self.module.rpartition('.')[2]}.{self.function or 'top'}: {shown[0]}  →  {shown[1]}"


def _alike(one: str, other: str) -> int:
    """With how many equal characters both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a node hangs in the tree."""

    parent: Any
    field: str
    index: int | None
    function: str
    statement: ast.stmt

    def get(self) -> Any:
        held = getattr(self.parent, self.field)
        return held if self.index is None else held[self.index]

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every mutant of the module, each once."""
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    for place in _places(tree, "", None):
        original = place.get()
        before = _headline(place.statement)
        if isinstance(original, ast.Constant) and not place.function:
            # How long we wait is a judgement, with its argument beside it; no test could know it better.
            continue
        for variant in _variants(original):
            place.put(ast.fix_missing_locations(ast.copy_location(variant, original)))
            mutated, changed = ast.unparse(tree), _headline(variant if original is place.statement else place.statement)
            place.put(original)
            if mutated not in seen:
                seen.add(mutated)
                line = place.statement.lineno
                yield Mutant(
                    module=module, function=place.function, line=line, before=before, after=changed, source=mutated
                )


def _places(node: ast.AST, function: str, statement: ast.stmt | None) -> Iterator[Place]:
    for field, value in ast.iter_fields(node):
        if field in UNTOUCHED:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_passed_over(child):
                continue
            inside = child if isinstance(child, ast.stmt) else statement
            # A decorator and a default belong to the function's own line.
            name = _named(function, node) if field == "body" else function
            if inside is not None:
                yield Place(parent=node, field=field, index=index, function=name, statement=inside)
            yield from _places(child, name, inside)


def _named(outer: str, node: ast.AST) -> str:
    inner = node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else ""
    return ".".join(filter(None, (outer, inner)))


def _is_passed_over(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.AnnAssign):
        return True
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or (isinstance(node, ast.Expr) and ast.unparse(node).startswith(("logger.", "failpoints.")))


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    yield from _of_expressions(node)
    yield from _of_statements(node)
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in TELLING:
        for index in range(len(node.keywords)):
            yield ast.Call(node.func, node.args, [*node.keywords[:index], *node.keywords[index + 1 :]])
        for index in range(len(node.args) if node.keywords else 0):
            yield ast.Call(node.func, [*node.args[:index], *node.args[index + 1 :]], node.keywords)


def _of_expressions(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left, operators, rights):
            for index, operator in enumerate(operators):
                flipped = OPPOSITE[type(operator)]()
                yield ast.Compare(left, [*operators[:index], flipped, *operators[index + 1 :]], rights)
        case ast.BinOp(left, operator, right) if type(operator) in OPPOSITE:
            yield ast.BinOp(left, OPPOSITE[type(operator)](), right)
            yield from (left, right) if isinstance(operator, ast.BitOr | ast.BitAnd) else ()
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(OPPOSITE[type(operator)](), values)
            yield from values
        case ast.IfExp(test, body, orelse) if not _flips_anyway(test):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse)
        case _:
            yield from _of_values(node)


def _of_values(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield operand
        case ast.Set(elements) if len(elements) > 1:
            for gone in elements:
                yield ast.Set([element for element in elements if element is not gone])


def _of_statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Expr(ast.Call()) | ast.Raise() | ast.AugAssign() | ast.Assign([ast.Attribute()]):
            yield ast.Pass()
        case ast.If(test, body, orelse) if not _flips_anyway(test):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.FunctionDef(decorator_list=[_, *_] as decorators):
            for gone in decorators:
                kept = [decorator for decorator in decorators if decorator is not gone]
                yield ast.FunctionDef(**{**dict(ast.iter_fields(node)), "decorator_list": kept})


def _flips_anyway(test: ast.expr) -> bool:
    """Whether turning it around is another operator's work already."""
    return isinstance(test, ast.UnaryOp) or (isinstance(test, ast.Compare) and len(test.ops) == 1)


def _headline(statement: ast.AST) -> str:
    """A statement in a line: of one that holds others, only its head."""
    if isinstance(statement, ast.FunctionDef):
        return " ".join([*(f"@{ast.unparse(one)}" for one in statement.decorator_list), f"def {statement.name}"])
    lines = ast.unparse(statement).splitlines()
    return lines[0] if isinstance(statement, ast.If | ast.For | ast.With | ast.Try) else " ".join(lines)
