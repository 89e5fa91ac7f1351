"""The table, the chart and the page say what was measured."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from quality.benchmarks import chart, page
from quality.benchmarks.results import HEADINGS, Aim, Result, as_text, number

pytestmark = pytest.mark.once

ABOUT = {
    "rows": ["status"],
    "commit": "abc1234",
    "at": "2026-11-29 12:00",
    "cores": 2,
    "load before": [1.0, 2.0, 3.0],
    "load after": [2.0, 2.0, 3.0],
    "postgresql": "18.4",
    "python": "3.11.7",
}


def result(**changes) -> Result:
    values = {
        "row": "status",
        "what": "status 200",
        "unit": "per second",
        "limn": [100.0, 300.0, 200.0],
        "against": "a bare view",
        "other": [200.0, 300.0, 800.0],
        "aim": Aim(of="ratio", comparison="≥", limit=0.5),
        "cpu_ms": {"Limn server": 1.25},
    }
    return Result(**{**values, **changes})


def document(**changes) -> dict:
    return {**result(**changes).as_json(), "about": ABOUT}


def test_the_ratio_is_that_of_each_alternation() -> None:
    assert result().ratios == [0.5, 1.0, 0.25]


def test_an_aim_is_judged_by_the_median() -> None:
    assert result().is_met
    assert not result(aim=Aim(of="ratio", comparison="≥", limit=0.6)).is_met
    assert result(aim=Aim(of="value", comparison="≤", limit=200)).is_met
    assert result(aim=None).is_met is None
    assert result(limn=[]).is_met is None


def test_a_difference_has_no_ratio() -> None:
    assert result(has_ratio=False).ratios == []


def test_the_text_has_median_spread_and_cpu() -> None:
    text = as_text([result(), result(limn=[], other=[], error="failed: no answer")])

    assert "200 (100–300)" in text
    assert "0.500 (0.250–1.00)" in text
    assert "Limn server 1.25" in text
    assert "failed: no answer" in text


def test_numbers_have_three_digits() -> None:
    assert [number(value) for value in (0.1234, 1.234, 12.34, 1234.5)] == ["0.123", "1.23", "12.3", "1,234"]


def test_the_chart_is_well_formed_and_self_contained() -> None:
    drawn = chart.draw([document(), document(what="a & b <c>"), document(aim=None)])

    tree = ElementTree.fromstring(drawn)  # noqa: S314  (our own)
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "a & b <c>" in texts
    assert texts.count("status 200") == 1
    assert "prefers-color-scheme: dark" in drawn
    assert re.findall(r"(?:href|src)=", drawn) == []


def test_a_bar_is_as_long_as_the_aim_is_reached() -> None:
    met, missed = (chart.draw([document(aim=Aim(of="ratio", comparison="≥", limit=limit))]) for limit in (0.5, 5))

    assert 'class="bar"' in met
    assert 'class="missed"' in missed


def test_the_page_has_a_line_for_each_result() -> None:
    written = page.updated(f"# Title\n\n{page.BEGIN}old{page.END}\n\nrest\n", [document(), document(what="other")])

    assert written.startswith("# Title")
    assert written.endswith("rest\n")
    assert "old" not in written
    assert "| status 200, per second | 200 (100–300) | a bare view |" in written
    assert "Commit abc1234" in written
    assert page.updated(written, [document(), document(what="other")]) == written


def test_the_published_page_and_chart_are_those_of_the_data() -> None:
    results = json.loads(page.DATA.read_text())

    assert results
    assert page.updated(page.PAGE.read_text(), results) == page.PAGE.read_text()
    assert chart.draw(results) == page.CHART.read_text()
    assert all(len(HEADINGS) == line.count(" | ") + 1 for line in page.PAGE.read_text().splitlines() if "≥" in line)
