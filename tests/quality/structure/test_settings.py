"""Every setting is written down where a newcomer looks for it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.structure.source import ROOT, tree

pytestmark = pytest.mark.once

SETTINGS = ROOT / "config/settings.py"


def _names() -> set[str]:
    """The first argument of each `env.….(…)`; the secret key's reader knows its own name."""
    calls = [
        node for node in ast.walk(tree(SETTINGS)) if isinstance(node, ast.Call) and "env." in ast.unparse(node.func)
    ]
    arguments = [call.args[0] for call in calls if call.args]
    return {"SECRET_KEY"} | {
        name
        for argument in arguments
        if isinstance(argument, ast.Constant) and re.fullmatch(r"[A-Z][A-Z0-9_]+", name := str(argument.value))
    }


def test_the_reader_of_this_test_finds_settings() -> None:
    assert {"FAL_KEY", "DATABASE_URL", "PORT", "AWS_S3_ENDPOINT_URL"} <= _names()


@pytest.mark.parametrize("page", [".env.example", "docs/settings.md"])
def test_every_setting_is_written_down(page: str) -> None:
    text = (ROOT / page).read_text()

    assert {setting for setting in _names() if not re.search(rf"\b{setting}\b", text)} == set()


def test_the_example_names_no_setting_that_nobody_reads() -> None:
    example = (ROOT / ".env.example").read_text()
    offered = set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))

    assert {name for name in offered if name.removesuffix("_FILE") not in _names()} == set()
