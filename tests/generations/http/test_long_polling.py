"""Prefer: wait. The response comes when the generation has ended, or when the time has passed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from rest_framework.test import APIClient, APIRequestFactory

from generations.http import long_polling
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS, PlaceOrder
from tests.helpers.background_work import running_workers
from tests.services.waiting import HANG_SECONDS


@pytest.fixture
def working(fal: Simulator) -> Iterator[None]:
    """The background work runs during the request."""
    with running_workers():
        yield


@pytest.mark.django_db(transaction=True)
def test_a_generation_that_ends_in_time_is_in_the_response(
    api: APIClient, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polling, "WAIT_SECONDS_MAX", int(HANG_SECONDS))

    response = api.post(GENERATIONS, CAT, headers={"Prefer": "wait=300"})

    assert (response.status_code, response["Preference-Applied"]) == (201, "wait=300")
    assert response.json()["status"] == "completed"
    assert len(response.json()["outputs"]) == 1


@pytest.mark.django_db
def test_a_generation_that_takes_longer_is_accepted(api: APIClient, patient_fal: Simulator) -> None:
    response = api.post(GENERATIONS, CAT, headers={"Prefer": "wait=1"})

    assert (response.status_code, response.json()["status"]) == (202, "processing")
    assert response["Retry-After"]


def test_the_condition_is_checked_again_until_the_time_has_passed() -> None:
    checks: list[bool] = []

    assert not long_polling.wait_until(lambda: _not_yet(checks), seconds=0.5)

    assert len(checks) > 1


def _not_yet(checks: list[bool]) -> bool:
    checks.append(False)
    return False


@pytest.mark.django_db
def test_without_a_free_slot_the_condition_is_checked_once(api: APIClient, patient_fal: Simulator) -> None:
    """Otherwise waiting clients could occupy every thread of the web server."""
    checks: list[bool] = []
    with ExitStack() as slots:
        assert all(slots.enter_context(long_polling.slot()) for _ in range(long_polling.MAX_CONCURRENT))

        assert not long_polling.wait_until(lambda: _not_yet(checks), seconds=60)
        assert api.post(GENERATIONS, CAT, headers={"Prefer": "wait=60"}).status_code == 202

    assert len(checks) == 1


@pytest.mark.django_db
def test_a_reused_result_is_returned_at_once(api: APIClient, completed: PlaceOrder) -> None:
    completed(seed=7)
    order = {"model": "flux-schnell", "input": {"prompt": "a cat", "seed": 7}, "reuse": True}

    response = api.post(GENERATIONS, order, headers={"Prefer": "wait=5"})

    assert (response.status_code, response.json()["status"]) == (200, "completed")


def test_a_preference_that_cannot_be_understood_is_ignored() -> None:
    understood = {
        "wait=5": 5,
        "wait=999": 60,
        "respond-async, wait=5": 5,
        "WAIT = 5": 5,
        'wait="5"': 5,
        "wait=5;a=b": 5,
    }
    ignored = ("", "wait", "wait=-1", "wait=1.5", "await=5", "wait=x")

    for header, seconds in {**understood, **dict.fromkeys(ignored, 0)}.items():
        request = APIRequestFactory().post("/", headers={"Prefer": header})

        assert long_polling.preferred_wait_seconds(request) == seconds, header
