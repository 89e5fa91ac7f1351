"""The time scale of the chaos test shortens waits, and is refused for a site that others can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.checks import run_checks

from database import time_scale

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.once


def test_durations_shrink_but_not_below_their_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_scale, "TIME_SCALE", 10.0)

    assert (time_scale.scaled(60), time_scale.scaled(20, at_least=10)) == (6.0, 10)


def test_a_time_scale_is_refused_unless_the_site_is_this_machine(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scale, site_url, is_refused in (
        (12.0, "https://limn.example.com", True),
        (12.0, "http://127.0.0.1:8000", False),
        (1.0, "https://limn.example.com", False),
    ):
        monkeypatch.setattr(time_scale, "TIME_SCALE", scale)
        settings.SITE_URL = site_url

        assert ("limn.E004" in {message.id for message in run_checks(tags=["limn"])}) is is_refused
