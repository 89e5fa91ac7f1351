"""Rules for the tests: no mocks, no sleeping, and an assertion in each."""

from __future__ import annotations

import ast

import pytest

from tests.helpers.source import ROOT, files_of_tests, functions, imported_modules, name, tree

pytestmark = pytest.mark.once

# Its loop awaits a condition.
MAY_SLEEP = ROOT / "tests/services/waiting.py"
ASSERTING_CALLS = ("raises", "warns", "expect", "fail")


def test_no_test_imports_a_mock_library() -> None:
    assert [name(path) for path in files_of_tests() if {"unittest.mock", "mock"} & imported_modules(path)] == []


def test_no_test_sleeps() -> None:
    sleepers = [
        f"{name(path)}:{node.lineno}"
        for path in files_of_tests()
        if path != MAY_SLEEP
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and _called(node) == "sleep"
    ]

    assert sleepers == []


def test_every_test_asserts_something() -> None:
    silent = [
        f"{name(path)}:{function.lineno} {function.name}"
        for path in files_of_tests()
        if path.name.startswith("test_")
        for function in functions(path)
        if function.name.startswith("test_") and not any(_asserts(node) for node in ast.walk(function))
    ]

    assert silent == []


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = _called(node)
        return called in ASSERTING_CALLS or called.startswith("assert_")
    return isinstance(node, ast.Assert)


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""
