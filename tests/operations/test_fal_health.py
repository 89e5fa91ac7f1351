"""/health/integrations/fal: rates and times, and no number that tells how business goes."""

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
from tests.fixtures.orders import Ordering
from tests.helpers import lifecycle_facts
from tests.helpers.callback_sender import Courier
from tests.operations.test_alerts import fails

pytestmark = pytest.mark.django_db
ADDRESS = "/health/integrations/fal"


def test_with_nothing_ordered_yet_it_is_well_and_has_no_rates(client: Client) -> None:
    response = client.get(ADDRESS)

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


def test_rates_and_the_last_success(
    client: Client, order: Ordering, submitted: Submission, courier: Courier, fal
) -> None:
    fal.finish(str(submitted.request_id))
    courier.deliver(submitted)
    lifecycle_facts.stored(submitted)
    fails(order, 3)

    said = client.get(ADDRESS).json()

    answered = Event.objects.get(fact="answered").created_at
    assert said["last_success_at"] == answered.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert (said["last_hour"]["error_rate"], said["last_hour"]["by_callback"]) == (0.75, 0.25)
    assert 0 <= said["last_hour"]["callback_lag_seconds"]["p95"] < 5


def test_a_callback_that_asking_has_overtaken_is_late_by_as_much(
    client: Client, submitted: Submission, courier: Courier, fal: Simulator
) -> None:
    fal.finish(str(submitted.request_id))
    courier.deliver(submitted)
    Generation.objects.update(answered_at=F("answered_at") - timedelta(seconds=90))

    lag = client.get(ADDRESS).json()["last_hour"]["callback_lag_seconds"]

    assert 85 <= lag["p50"] == lag["p95"] < 95
    assert ProviderCallback.objects.count() == 1


@pytest.mark.parametrize("what, key, state", [("key", "missing", "closed"), ("breaker", "present", "open")])
def test_it_is_red_when_nothing_can_be_ordered(client: Client, settings, what: str, key: str, state: str) -> None:
    if what == "key":
        settings.FAL_KEY = ""
    else:
        circuit_breaker.trip("403: the balance of key abc is exhausted")

    response = client.get(ADDRESS)

    said = response.json()
    assert (response.status_code, said["status"], said["key"], said["breaker"]) == (503, "unwell", key, state)
    assert b"abc" not in response.content


def test_anybody_may_ask_so_it_is_looked_up_once_in_a_while(client: Client, django_assert_num_queries) -> None:
    client.get(ADDRESS)

    with django_assert_num_queries(0):
        assert client.get(ADDRESS).status_code == 200
    assert client.post(ADDRESS).status_code == 405
    cache.clear()


@pytest.mark.once
@pytest.mark.parametrize("share, value", [(0.5, 2.0), (0.95, 4.0), (0.25, 1.0), (1, 4.0), (0, 1.0)])
def test_a_quantile_is_a_value_that_there_was(share: float, value: float) -> None:
    assert statistics.quantile([1.0, 2.0, 3.0, 4.0], share) == value
    assert statistics.quantile([], share) is None


@pytest.mark.once
def test_percents_are_rounded_down() -> None:
    assert [statistics.percent([True, False, False]), statistics.percent([True]), statistics.percent([])] == [
        33,
        100,
        None,
    ]
