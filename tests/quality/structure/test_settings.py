"""Every setting is documented, and every documented setting exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.helpers.source import ROOT, tree

pytestmark = pytest.mark.once

SETTINGS = ROOT / "config/settings.py"


def _names() -> set[str]:
    """The first argument of each `env.….(…)`. SECRET_KEY is read without one."""
    calls = [
        node for node in ast.walk(tree(SETTINGS)) if isinstance(node, ast.Call) and "env." in ast.unparse(node.func)
    ]
    arguments = [call.args[0] for call in calls if call.args]
    return {"SECRET_KEY"} | {
        name
        for argument in arguments
        if isinstance(argument, ast.Constant) and re.fullmatch(r"[A-Z][A-Z0-9_]+", name := str(argument.value))
    }


def test_the_names_of_settings_are_found() -> None:
    assert {"FAL_KEY", "DATABASE_URL", "PORT", "AWS_S3_ENDPOINT_URL"} <= _names()


@pytest.mark.parametrize("page", [".env.example", "docs/settings.md"])
def test_every_setting_is_documented(page: str) -> None:
    text = (ROOT / page).read_text()

    assert {setting for setting in _names() if not re.search(rf"\b{setting}\b", text)} == set()


def test_the_example_names_no_unknown_setting() -> None:
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))

    assert {name for name in named if name.removesuffix("_FILE") not in _names()} == set()
