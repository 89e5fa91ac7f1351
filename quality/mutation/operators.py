"""The mutation operators: each yields what a node of a syntax tree can be replaced by.

Comparisons and conditions are flipped or cut, arguments of queries and of writes are left out, decorators and
statements are removed, integers are raised by one, and members are taken from sets.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
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
# The arguments of these calls are guards, or values that are written: each is left out once.
CALLS_WITH_REMOVABLE_ARGUMENTS = {
    "filter",
    "exclude",
    "update",
    "create",
    "move",
    "end",
    "touch",
    "note",
    "Entry",
    "Output",
    "Failure",
}


def replace_expression(node: ast.AST) -> Iterator[ast.AST]:
    """Flip a comparison, an arithmetic operator or a condition, or leave one side of it out."""
    match node:
        case ast.Compare(left, operators, rights):
            for index, operator in enumerate(operators):
                flipped = OPPOSITE[type(operator)]()
                yield ast.Compare(left, [*operators[:index], flipped, *operators[index + 1 :]], rights)
        case ast.BinOp(left, operator, right) if type(operator) in OPPOSITE:
            yield ast.BinOp(left, OPPOSITE[type(operator)](), right)
            # `a | b` on sets and Q objects: one side of a union or of a condition.
            yield from (left, right) if isinstance(operator, ast.BitOr | ast.BitAnd) else ()
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(OPPOSITE[type(operator)](), values)
            yield from values
        case ast.IfExp(test, body, orelse) if not _is_flipped_by_another_operator(test):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse)


def replace_value(node: ast.AST) -> Iterator[ast.AST]:
    """Change a literal, or leave out a sign, a negation or a member of a set."""
    match node:
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield operand
        case ast.Set(elements) if len(elements) > 1:
            for removed in elements:
                yield ast.Set([element for element in elements if element is not removed])


def replace_statement(node: ast.AST) -> Iterator[ast.AST]:
    """Remove a statement or a decorator, or negate the condition of an `if`."""
    match node:
        case ast.Expr(ast.Call()) | ast.Raise() | ast.AugAssign() | ast.Assign([ast.Attribute()]):
            yield ast.Pass()
        case ast.If(test, body, orelse) if not _is_flipped_by_another_operator(test):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.FunctionDef(decorator_list=[_, *_] as decorators):
            for removed in decorators:
                kept = [decorator for decorator in decorators if decorator is not removed]
                yield ast.FunctionDef(**{**dict(ast.iter_fields(node)), "decorator_list": kept})


def remove_argument(node: ast.AST) -> Iterator[ast.AST]:
    """Leave out one argument of a query or of a write."""
    if (
        not isinstance(node, ast.Call)
        or ast.unparse(node.func).rpartition(".")[2] not in CALLS_WITH_REMOVABLE_ARGUMENTS
    ):
        return
    for index in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, [*node.keywords[:index], *node.keywords[index + 1 :]])
    # Beside keywords, a positional argument of a query is a condition. Alone, it is what the call is about.
    for index in range(len(node.args) if node.keywords else 0):
        yield ast.Call(node.func, [*node.args[:index], *node.args[index + 1 :]], node.keywords)


def _is_flipped_by_another_operator(test: ast.expr) -> bool:
    """Return whether another operator negates this condition."""
    return isinstance(test, ast.UnaryOp) or (isinstance(test, ast.Compare) and len(test.ops) == 1)


OPERATORS = (replace_expression, replace_value, replace_statement, remove_argument)
