"""`manage.py sync_prices` and `reconcile_bill`: what they print, and that they fail when the numbers differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.core.management.base import CommandError

from generations.catalogue import MODELS
from simulator import Simulator
from tests.fixtures.billing import Generate, run_command
from tests.simulator.queue_client import FLUX, VEO

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db(transaction=True)
NO_LAG = ("--lag-minutes", "0")


# --- sync_prices ----------------------------------------------------------------------------------------------------


def test_equal_prices_are_reported(fal: Simulator) -> None:
    assert run_command("sync_prices") == f"{len(MODELS)} prices agree with fal's price list.\n"


def test_a_price_that_fal_changed_is_listed(fal: Simulator) -> None:
    fal.reprice(FLUX, "0.0031")
    fal.reprice(VEO, "0.15", "videos")

    with pytest.raises(CommandError) as difference:
        run_command("sync_prices")

    assert str(difference.value).splitlines()[:3] == [
        f"2 of {len(MODELS)} prices differ:",
        "flux-schnell: the catalogue has 3 credits per unit (megapixels), "
        "fal lists 3.1 credits (0.0031 USD) per unit (megapixels)",
        "veo3.1-fast: the catalogue has 150 credits per unit (seconds), "
        "fal lists 150 credits (0.15 USD) per unit (videos)",
    ]


def test_image_and_images_are_the_same_unit(fal: Simulator) -> None:
    fal.reprice("fal-ai/nano-banana", "0.039", "Image")

    assert "agree" in run_command("sync_prices")


def test_it_fails_when_the_price_list_cannot_be_read(settings: Settings) -> None:
    settings.FAL_QUEUE_URL = "http://127.0.0.1:9"

    with pytest.raises(CommandError, match="fal's prices cannot be read"):
        run_command("sync_prices")


# --- reconcile_bill -------------------------------------------------------------------------------------------------


def test_a_bill_that_agrees_is_reported_with_the_margins(generate: Generate, admin_key: str) -> None:
    generate(num_images=2)

    printed = run_command("reconcile_bill", *NO_LAG).splitlines()

    assert printed[0] == "1 lines of fal's bill read."
    assert printed[2].split() == ["flux-schnell", "1", "6", "0.006", "0.000", "0.0"]
    assert printed[-1] == "The bill agrees with the generations."


def test_a_bill_that_differs_is_a_failure_that_lists_the_generations(generate: Generate, admin_key: str) -> None:
    generate(scenario="bill:double")
    generation = generate(scenario="bill:missing")

    with pytest.raises(CommandError) as difference:
        run_command("reconcile_bill", *NO_LAG)

    lines = str(difference.value).splitlines()
    assert lines[0] == "The bill differs (1 drift, 1 unbilled):"
    assert f"unbilled: generation {generation.pk}: it is complete, and fal's bill does not contain it" in lines


def test_generations_that_ended_just_now_are_ignored(generate: Generate, admin_key: str) -> None:
    generate(scenario="bill:missing")

    assert "The bill agrees with the generations." in run_command("reconcile_bill")


def test_since_is_the_first_day_that_is_compared(generate: Generate, admin_key: str) -> None:
    generate(scenario="bill:missing")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()

    with pytest.raises(CommandError, match="--since must lie before"):
        run_command("reconcile_bill", "--since", tomorrow, *NO_LAG)
    with pytest.raises(CommandError, match="1 unbilled"):
        run_command("reconcile_bill", "--since", "2026-01-01", *NO_LAG)


def test_without_an_admin_key_the_bill_is_estimated(generate: Generate, settings: Settings) -> None:
    settings.FAL_ADMIN_KEY = ""
    generate(num_images=2)

    printed = run_command("reconcile_bill", *NO_LAG)

    assert "FAL_ADMIN_KEY is not set" in printed
    assert printed.splitlines()[2].split()[:4] == ["flux-schnell", "1", "6", "0.006"]


def test_a_key_without_the_admin_scope_is_a_failure(generate: Generate, settings: Settings) -> None:
    settings.FAL_ADMIN_KEY = settings.FAL_KEY

    with pytest.raises(CommandError, match="fal's bill cannot be read: 403"):
        run_command("reconcile_bill", *NO_LAG)
