"""The figures of a checkout, as they are printed and as they are limited."""

from __future__ import annotations

import json

import pytest

from quality.structure import figures, report
from quality.structure.limits import Limit, limits

pytestmark = pytest.mark.once

MODULES = {
    "config.urls": "import credits.ledger\n",
    "credits.ledger": "import config.urls\n\n\ndef hold() -> None:\n    _hold()\n\n\ndef _hold() -> None: ...\n",
    "generations.helper": "",
}


@pytest.fixture
def measured(checkout) -> figures.Figures:
    (checkout(MODULES).root / "tests").mkdir()
    return figures.measure(checkout(MODULES))


def test_the_summary_names_each_figure(measured) -> None:
    summary = measured.summary()

    assert summary["components"] == 3
    assert summary["single-use helpers, %"] == 50.0
    assert summary["modules at the root of generations"] == 1


def test_two_revisions_stand_side_by_side(measured) -> None:
    lines = report.table({"before": measured, "after": measured}).splitlines()

    assert lines[0].split() == ["|", "figure", "|", "before", "|", "after", "|"]
    assert "| cycles" in lines[6]


def test_each_package_has_its_row(measured) -> None:
    assert [row.split()[1] for row in report.packages(measured).splitlines()[2:]] == [
        "config",
        "credits",
        "generations",
    ]


def test_a_limit_that_is_exceeded_is_printed_with_its_places(measured) -> None:
    printed = report.excesses(limits(measured), places_max=10)

    assert "upward dependencies: 1, at most 0\n    credits -> config, in credits.ledger\n" in printed
    assert "besides apps.py, errors.py, services.py: 1, at most 0\n    generations/helper.py" in printed


def test_places_beyond_the_first_are_counted() -> None:
    printed = report.excesses([Limit("files over 400 lines", 3, 0, ["a", "b", "c"])], places_max=2)

    assert printed.endswith("    and 1 more (--all lists them)")


def test_nothing_over_a_limit_is_said() -> None:
    assert report.excesses([Limit("cycles", 0, 0)], places_max=10) == "Nothing is over a limit."


def test_json_holds_the_figures_and_the_dependencies(measured) -> None:
    found = json.loads(report.as_json({"now": measured}))["now"]

    assert found["figures"]["dependencies"] == 2
    assert found["dependencies"] == [["config", "credits"], ["credits", "config"]]
