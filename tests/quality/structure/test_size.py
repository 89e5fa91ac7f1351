"""Small, and evenly so."""

from __future__ import annotations

import ast

import pytest

from tests.structure.source import files_of_tests, functions, name, product_files

pytestmark = pytest.mark.once

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = [
        f"{name(path)}:{function.lineno} {function.name}: {lines} lines"
        for path in [*product_files(), *files_of_tests()]
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]

    assert too_long == []


def test_no_file_is_longer_than_a_sitting() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in product_files()}

    assert {path: count for path, count in lines.items() if count > FILE_LINES_MAX} == {}


def test_every_module_says_what_it_owns() -> None:
    silent = [
        name(path)
        for path in [*product_files(), *files_of_tests()]
        if (tree := ast.parse(path.read_text())).body and not ast.get_docstring(tree)
    ]

    assert silent == []
