"""While fal refuses our key or account, nobody orders in vain and nothing is lost. Cases A13, A14."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.errors import ProviderUnfunded
from generations.models import CircuitBreaker, FailureCode, Generation, Phase, Status
from generations.provider import circuit_breaker
from generations.workers import submitter
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_shell_without_our_key_leaves_the_order_to_the_workers(
    settings, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    """It would look as if fal refused us, and stop intake for everybody."""
    key, settings.FAL_KEY = settings.FAL_KEY, ""
    generation = order()

    submitter.submit_now(generation)

    assert (circuit_breaker.is_open(), len(fal.log.posts())) == (False, 0)
    settings.FAL_KEY = key
    assert work.until_done(generation).status == Status.COMPLETED


def half_a_minute_passes() -> None:
    CircuitBreaker.objects.update(probed_at=timezone.now() - timedelta(seconds=circuit_breaker.PROBE_SECONDS + 1))


@pytest.fixture
def locked(fal: Simulator, order: PlaceOrder, work: Work) -> Generation:
    """fal has locked the account, and one order found out."""
    fal.always("status:403")
    generation = order()
    work.submit()
    generation.refresh_from_db()
    return generation


@pytest.mark.parametrize("fault", ["status:401", "status:402", "status:403"])
def test_a13_a14_a_refusal_stops_intake_and_the_order_waits(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.always(fault)
    generation = order()

    work.submit()

    generation.refresh_from_db()
    assert (circuit_breaker.is_open(), generation.phase) == (True, Phase.QUEUED)
    with pytest.raises(ProviderUnfunded):
        order()


def test_a13_a_refused_order_holds_nothing(alice: Account, locked: Generation, order: PlaceOrder) -> None:
    with pytest.raises(ProviderUnfunded):
        order()

    alice.refresh_from_db()
    assert (alice.held, Generation.objects.count()) == (locked.credits, 1)


def test_a13_a_hundred_sweeps_make_one_probe(fal: Simulator, locked: Generation, work: Work) -> None:
    half_a_minute_passes()

    for _ in range(100):
        work.submit()

    assert len(fal.log.posts()) == 2


def test_when_fal_takes_orders_again_everything_that_waited_goes_on(
    fal: Simulator, alice: Account, locked: Generation, order: PlaceOrder, work: Work
) -> None:
    fal.clear()
    half_a_minute_passes()

    work.until_done(locked)

    assert (locked.status, circuit_breaker.is_open()) == (Status.COMPLETED, False)
    assert work.until_done(order()).status == Status.COMPLETED


def test_with_an_empty_queue_one_new_order_is_the_probe(
    fal: Simulator, locked: Generation, order: PlaceOrder, work: Work
) -> None:
    lifecycle.failed(locked, lifecycle.failure(FailureCode.CANCELLED), actor="test")
    half_a_minute_passes()

    order()

    with pytest.raises(ProviderUnfunded):
        order()


def test_a_rejected_input_shows_that_our_key_is_good(fal: Simulator, locked: Generation, work: Work) -> None:
    fal.clear()
    fal.script("status:422")
    half_a_minute_passes()

    work.submit()

    assert circuit_breaker.is_open() is False


def test_an_order_that_waited_past_its_deadline_fails_and_costs_nothing(
    alice: Account, locked: Generation, work: Work
) -> None:
    Generation.objects.update(deadline_at=timezone.now())

    work.submit()

    locked.refresh_from_db()
    alice.refresh_from_db()
    assert (locked.failure_code, alice.held) == (FailureCode.PROVIDER_UNFUNDED, 0)


def test_opening_it_twice_keeps_the_first_time_and_reason(db: None) -> None:
    circuit_breaker.trip("first")
    opened_at = CircuitBreaker.objects.get().opened_at

    circuit_breaker.trip("second")

    assert (CircuitBreaker.objects.get().opened_at, CircuitBreaker.objects.get().reason) == (opened_at, "first")


def test_an_order_made_before_still_answers_to_its_key(locked: Generation, order: PlaceOrder, alice: Account) -> None:
    Generation.objects.filter(pk=locked.pk).update(idempotency_key="k")

    assert order(key="k") == locked
