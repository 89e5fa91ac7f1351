"""The page about models says what the catalogue says."""

from __future__ import annotations

import pytest

from generations.catalogue.__main__ import as_markdown
from operations.provider_bill import RULES
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once
PAGE = (ROOT / "docs/models.md").read_text()


def test_every_model_stands_on_its_page() -> None:
    """`python -m generations.catalogue` prints what belongs there."""
    assert as_markdown() in PAGE


def test_every_finding_of_the_bill_is_explained() -> None:
    assert [rule for rule in RULES if f"| `{rule}` |" not in PAGE] == []
