"""The two commands that people and cron jobs run: what they print, and that they fail when the numbers differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.core.management.base import CommandError

from generations.catalogue import MODELS
from simulator import Simulator
from tests.fixtures.billing import Making, command
from tests.simulator.queue_client import FLUX, VEO

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db(transaction=True)
NO_LAG = ("--lag-minutes", "0")


# --- sync_prices ---


def test_prices_that_agree_are_said_to(fal: Simulator) -> None:
    assert command("sync_prices") == f"{len(MODELS)} prices are as fal lists them.\n"


def test_a_price_that_fal_has_changed_is_drift(fal: Simulator) -> None:
    fal.reprice(FLUX, "0.0031")
    fal.reprice(VEO, "0.15", "videos")

    with pytest.raises(CommandError) as drift:
        command("sync_prices")

    said = str(drift.value)
    assert f"2 of {len(MODELS)} prices differ" in said
    assert "flux-schnell: we say 3 credits for each of megapixels, fal lists 3.1 credits (0.0031 USD)" in said
    assert (
        "veo3.1-fast: we say 150 credits for each of seconds, fal lists 150 credits (0.15 USD) for each of videos"
        in said
    )


def test_one_image_and_many_images_are_the_same_unit(fal: Simulator) -> None:
    fal.reprice("fal-ai/nano-banana", "0.039", "Image")

    assert "as fal lists them" in command("sync_prices")


def test_prices_that_cannot_be_read_are_not_said_to_agree(settings: Settings) -> None:
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    with pytest.raises(CommandError, match="cannot be read"):
        command("sync_prices")


# --- reconcile_bill ---


def test_a_bill_that_agrees_prints_the_margins(make: Making, admin_key: str) -> None:
    make(num_images=2)

    printed = command("reconcile_bill", *NO_LAG).splitlines()

    assert printed[0] == "1 lines of fal's bill read."
    assert printed[2].split() == ["flux-schnell", "1", "6", "0.006", "0.000", "0.0"]
    assert printed[-1] == "The bill is what was ordered."


def test_a_bill_that_differs_is_a_failure_and_says_where(make: Making, admin_key: str) -> None:
    make(scenario="bill:double")
    generation = make(scenario="bill:missing")

    with pytest.raises(CommandError) as difference:
        command("reconcile_bill", *NO_LAG)

    lines = str(difference.value).splitlines()
    assert lines[0] == "The bill differs (1 drift, 1 unbilled):"
    assert f"unbilled: generation {generation.pk}: it is complete, and fal's bill does not know it" in lines


def test_what_ended_just_now_is_left_out_as_the_bill_may_lag(make: Making, admin_key: str) -> None:
    make(scenario="bill:missing")

    assert "The bill is what was ordered." in command("reconcile_bill")


def test_since_names_the_day_to_begin_with(make: Making, admin_key: str) -> None:
    make(scenario="bill:missing")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()

    with pytest.raises(CommandError, match="--since must lie before"):
        command("reconcile_bill", "--since", tomorrow, *NO_LAG)
    with pytest.raises(CommandError, match="1 unbilled"):
        command("reconcile_bill", "--since", "2026-01-01", *NO_LAG)


def test_without_an_admin_key_it_estimates_and_says_so(make: Making, settings: Settings) -> None:
    settings.FAL_ADMIN_KEY = ""
    make(num_images=2)

    printed = command("reconcile_bill", *NO_LAG)

    assert "FAL_ADMIN_KEY is not set" in printed
    assert printed.splitlines()[2].split()[:4] == ["flux-schnell", "1", "6", "0.006"]


def test_a_key_that_is_no_admins_is_a_clear_error(make: Making, settings: Settings) -> None:
    settings.FAL_ADMIN_KEY = settings.FAL_KEY

    with pytest.raises(CommandError, match="fal's bill cannot be read: 403"):
        command("reconcile_bill", *NO_LAG)
