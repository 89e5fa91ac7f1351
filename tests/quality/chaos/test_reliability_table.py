"""What a run says of the promises."""

from __future__ import annotations

import pytest

from quality.chaos import reliability_table
from quality.chaos.counters import Tally
from tests.structure.source import ROOT

pytestmark = pytest.mark.once


def test_a_run_speaks_of_each_promise_in_numbers() -> None:
    tally = Tally()
    tally.hit("kill -9 worker", 2)
    tally.hit("failpoint posted exit", 3)
    tally.hit("failpoint posted sleep", 5)
    tally.count("files compared byte for byte", 1200)

    table = reliability_table.as_markdown(tally)

    assert "| A worker killed with -9 loses nothing | 5 processes killed, 3 of them at the worst moment |" in table
    assert "1,200 files compared byte for byte" in table
    assert len(table.splitlines()) == len(reliability_table.FIGURES) + 2


def test_the_page_of_promises_shows_what_the_last_run_said() -> None:
    page = (ROOT / "docs/reliability.md").read_text()

    assert [promise for promise in reliability_table.FIGURES if f"| {promise} | " not in page] == []
