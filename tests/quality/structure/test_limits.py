"""The limits on packages, imports, functions, files and test cases hold. `make structure` lists what exceeds them."""

from __future__ import annotations

import pytest

from quality.structure import figures, source
from quality.structure.limits import CASES_MAX, limits


@pytest.mark.once
def test_nothing_exceeds_a_limit() -> None:
    measured = figures.measure(source.Checkout(source.ROOT))

    assert {str(limit): list(limit.places) for limit in limits(measured) if limit.is_exceeded} == {}


def test_the_suite_has_at_most_5000_cases(request: pytest.FixtureRequest) -> None:
    """Counts the cases that this run has collected: all of this database in a run of the whole suite."""
    assert len(request.session.items) <= CASES_MAX
