"""The table that a chaos run prints for docs/reliability.md."""

from __future__ import annotations

import pytest

from quality.chaos import reliability_table
from quality.chaos.counters import Counters
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once


def test_the_table_shows_figures_of_the_run_for_each_guarantee() -> None:
    counters = Counters()
    counters.count_fault("kill -9 worker", 2)
    counters.count_fault("failpoint posted exit", 3)
    counters.count_fault("failpoint posted sleep", 5)
    counters.count_event("files compared byte for byte", 1200)

    table = reliability_table.as_markdown(counters)

    assert "`kill -9` loses nothing | 5 processes killed, 3 of them at a failpoint |" in table
    assert "1,200 files compared byte for byte" in table
    assert len(table.splitlines()) == len(reliability_table.FIGURES) + 2


def test_the_page_on_reliability_has_a_row_for_each_guarantee() -> None:
    page = (ROOT / "docs/reliability.md").read_text()

    assert [guarantee for guarantee in reliability_table.FIGURES if f"| {guarantee} | " not in page] == []
