"""The soak's faster clock stays on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.checks import run_checks

from database import time_scale

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.once


def ids(settings: Settings, site_url: str) -> set[str | None]:
    settings.SITE_URL = site_url
    return {message.id for message in run_checks(tags=["limn"])}


@pytest.mark.parametrize(
    "scale, site_url, is_refused",
    [
        (12.0, "https://limn.example.com", True),
        (12.0, "http://127.0.0.1:8000", False),
        (1.0, "https://a.example", False),
    ],
)
def test_a_faster_clock_is_refused_beyond_this_machine(
    scale: float, site_url: str, is_refused: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_scale, "TIME_SCALE", scale)

    assert ("limn.E004" in ids(settings, site_url)) is is_refused


def test_seconds_shrink_but_never_below_what_the_network_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_scale, "TIME_SCALE", 10.0)

    assert (time_scale.scaled(60), time_scale.scaled(20, at_least=10)) == (6.0, 10)
