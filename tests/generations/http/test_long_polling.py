"""Prefer: wait. The answer comes when the picture is there, or when the patience has run out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from rest_framework.test import APIClient, APIRequestFactory

from generations.http import long_polling
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS, Ordering
from tests.helpers.background_work import at_work


@pytest.fixture
def working(fal: Simulator) -> Iterator[None]:
    """The background work goes on beside the request."""
    with at_work():
        yield


@pytest.mark.django_db(transaction=True)
def test_what_is_made_in_time_comes_with_the_answer(api: APIClient, working: None) -> None:
    response = api.post(GENERATIONS, CAT, headers={"Prefer": "wait=60"})

    assert (response.status_code, response["Preference-Applied"]) == (201, "wait=60")
    assert response.json()["status"] == "completed"
    assert len(response.json()["outputs"]) == 1


@pytest.mark.django_db
def test_what_takes_longer_is_accepted(api: APIClient, patient_fal: Simulator) -> None:
    started = time.monotonic()

    response = api.post(GENERATIONS, CAT, headers={"Prefer": "wait=1"})

    assert (response.status_code, response.json()["status"]) == (202, "processing")
    assert time.monotonic() - started >= 1
    assert response["Retry-After"]


@pytest.mark.django_db
def test_when_too_many_wait_already_the_answer_comes_at_once(api: APIClient, patient_fal: Simulator) -> None:
    """They would hold every thread of the web server."""
    started = time.monotonic()
    with ExitStack() as others:
        assert all(others.enter_context(long_polling.slot()) for _ in range(long_polling.MAX_CONCURRENT))

        assert api.post(GENERATIONS, CAT, headers={"Prefer": "wait=60"}).status_code == 202

    assert time.monotonic() - started < 60


@pytest.mark.django_db
def test_a_repetition_may_wait_too(api: APIClient, completed: Ordering) -> None:
    response = api.post(
        GENERATIONS,
        {"model": "flux-schnell", "input": {"prompt": "a cat", "seed": 7}, "reuse": True},
        headers={"Prefer": f"wait={completed(seed=7) and 5}"},
    )

    assert (response.status_code, response.json()["status"]) == (200, "completed")


@pytest.mark.once
@pytest.mark.parametrize(
    "header, seconds",
    [
        *[("wait=5", 5), ("wait=999", 60), ("respond-async, wait=5", 5), ("WAIT = 5", 5), ('wait="5"', 5)],
        *[("", 0), ("wait", 0), ("wait=-1", 0), ("wait=1.5", 0), ("await=5", 0), ("wait=x", 0), ("wait=5;a=b", 5)],
    ],
)
def test_a_preference_that_cannot_be_understood_is_as_if_unsaid(header: str, seconds: int) -> None:
    request = APIRequestFactory().post("/", headers={"Prefer": header})

    assert long_polling.preferred_wait_seconds(request) == seconds
