"""Every module begins with a docstring."""

from __future__ import annotations

import ast

import pytest

from tests.helpers.source import code_files, files_of_tests, name, tree

pytestmark = pytest.mark.once


def test_every_module_has_a_docstring() -> None:
    files = [*code_files(), *files_of_tests()]

    assert [name(path) for path in files if tree(path).body and not ast.get_docstring(tree(path))] == []
