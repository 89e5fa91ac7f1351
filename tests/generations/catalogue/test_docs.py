"""docs/models.md says what the catalogue and the reconciliation of the bill say."""

from __future__ import annotations

import pytest

from generations.catalogue.__main__ import as_markdown
from operations.provider_bill import RULES
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once
PAGE = (ROOT / "docs/models.md").read_text()


def test_the_tables_of_models_are_those_of_the_catalogue() -> None:
    """`python -m generations.catalogue` prints them."""
    assert as_markdown() in PAGE


def test_every_finding_about_the_bill_is_explained() -> None:
    assert [rule for rule in RULES if f"| `{rule}` |" not in PAGE] == []
