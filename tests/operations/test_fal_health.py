"""`/health/integrations/fal`: the state of the integration with fal, in rates and times, without counts and secrets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db.models import F
from django.test import Client

from generations.models import Event, Generation, ProviderCallback, Submission
from generations.provider import circuit_breaker
from operations import statistics
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers import lifecycle_facts
from tests.helpers.callback_sender import CallbackSender
from tests.operations.test_alerts import fail

pytestmark = pytest.mark.django_db
URL = "/health/integrations/fal"


def test_before_the_first_order_it_is_ok_and_has_no_rates(client: Client) -> None:
    response = client.get(URL)

    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "key": "present",
        "breaker": "closed",
        "last_success_at": None,
        "last_hour": {
            "error_rate": None,
            "by_callback": None,
            "callback_lag_seconds": {"p50": None, "p95": None},
        },
    }


def test_it_reports_rates_and_the_last_success(
    client: Client, order: PlaceOrder, submitted: Submission, callbacks: CallbackSender, fal: Simulator
) -> None:
    fal.finish(str(submitted.request_id))
    callbacks.send(submitted)
    lifecycle_facts.stored(submitted)
    fail(order, 3)

    state = client.get(URL).json()

    answered = Event.objects.get(fact="answered").created_at
    assert state["last_success_at"] == answered.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert (state["last_hour"]["error_rate"], state["last_hour"]["by_callback"]) == (0.75, 0.25)
    assert 0 <= state["last_hour"]["callback_lag_seconds"]["p95"] < 5


def test_the_lag_of_a_callback_after_the_poll_is_the_time_since_the_poll(
    client: Client, submitted: Submission, callbacks: CallbackSender, fal: Simulator
) -> None:
    fal.finish(str(submitted.request_id))
    callbacks.send(submitted)
    Generation.objects.update(answered_at=F("answered_at") - timedelta(seconds=90))

    lag = client.get(URL).json()["last_hour"]["callback_lag_seconds"]

    assert 85 <= lag["p50"] == lag["p95"] < 95
    assert ProviderCallback.objects.count() == 1


@pytest.mark.parametrize("cause, key, breaker", [("key", "missing", "closed"), ("breaker", "present", "open")])
def test_it_fails_while_no_order_can_be_submitted(client: Client, settings, cause: str, key: str, breaker: str) -> None:
    if cause == "key":
        settings.FAL_KEY = ""
    else:
        circuit_breaker.trip("403: the balance of key abc is exhausted")

    response = client.get(URL)

    state = response.json()
    assert (response.status_code, state["status"], state["key"], state["breaker"]) == (503, "unwell", key, breaker)
    assert b"abc" not in response.content


def test_a_second_request_is_answered_from_the_cache(client: Client, django_assert_num_queries) -> None:
    client.get(URL)

    with django_assert_num_queries(0):
        assert client.get(URL).status_code == 200
    assert client.post(URL).status_code == 405
    cache.clear()


@pytest.mark.once
def test_a_quantile_is_one_of_the_values() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    quantiles = {share: statistics.quantile(values, share) for share in (0, 0.25, 0.5, 0.95, 1)}

    assert quantiles == {0: 1.0, 0.25: 1.0, 0.5: 2.0, 0.95: 4.0, 1: 4.0}
    assert statistics.quantile([], 0.5) is None


@pytest.mark.once
def test_percentages_are_rounded_down() -> None:
    assert statistics.percent([True, False, False]) == 33
    assert statistics.percent([True]) == 100
    assert statistics.percent([]) is None
