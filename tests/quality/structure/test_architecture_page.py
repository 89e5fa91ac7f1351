"""Every function and class that `docs/architecture.md` links to is defined in the linked file."""

from __future__ import annotations

import ast
import re

import pytest

from tests.helpers.source import ROOT, tree

pytestmark = pytest.mark.once

PAGE = ROOT / "docs/architecture.md"
# [`ledger.hold`](../credits/ledger.py): the last name is defined in the file, or is the file itself.
LINK = re.compile(r"\[`([\w.]+)`\]\(([\w./]+\.py)\)")


def test_the_linked_names_are_defined_where_the_links_lead() -> None:
    links = [(name.split(".")[-1], (PAGE.parent / target).resolve()) for name, target in LINK.findall(PAGE.read_text())]
    missing = [f"{name} in {path}" for name, path in links if name not in {path.stem, *_defined_names(path)}]

    assert links
    assert missing == []


def _defined_names(path) -> set[str]:
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in ast.walk(tree(path)) if isinstance(node, definitions)}
