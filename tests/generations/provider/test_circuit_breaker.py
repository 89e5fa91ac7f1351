"""While fal refuses Limn's key or account, no order is accepted and no generation is lost. Cases A13, A14."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.errors import ProviderUnfunded
from generations.models import CircuitBreaker, FailureCode, Generation, Phase, Status
from generations.provider import circuit_breaker
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers import database_guards
from tests.helpers.background_work import Work
from tests.helpers.clocks import just_passed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def locked(fal: Simulator, order: PlaceOrder, work: Work) -> Generation:
    """A queued generation that fal refused because it has locked the account. The breaker is open."""
    fal.always("status:403")
    generation = order()
    work.submit()
    generation.refresh_from_db()
    return generation


def make_probe_due() -> None:
    CircuitBreaker.objects.update(probed_at=timezone.now() - timedelta(seconds=circuit_breaker.PROBE_SECONDS + 1))


# --- Opening ---


@pytest.mark.parametrize("fault", ["status:401", "status:402", "status:403"])
def test_a13_a14_a_refusal_of_the_account_opens_the_breaker_and_keeps_the_order(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.always(fault)
    generation = order()

    work.submit()

    generation.refresh_from_db()
    assert (circuit_breaker.is_open(), generation.phase) == (True, Phase.QUEUED)
    with pytest.raises(ProviderUnfunded):
        order()


def test_opening_an_open_breaker_keeps_the_first_time_and_reason(db: None) -> None:
    circuit_breaker.trip("first")
    opened_at = CircuitBreaker.objects.get().opened_at

    circuit_breaker.trip("second")

    assert (CircuitBreaker.objects.get().opened_at, CircuitBreaker.objects.get().reason) == (opened_at, "first")


def test_a_process_without_fals_key_does_not_open_the_breaker(
    settings, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    """A shell may run without FAL_KEY. Its order is left to the workers."""
    key, settings.FAL_KEY = settings.FAL_KEY, ""
    generation = order(send=True)

    assert (circuit_breaker.is_open(), len(fal.log.posts())) == (False, 0)
    settings.FAL_KEY = key
    assert work.until_done(generation).status == Status.COMPLETED


# --- While it is open ---


def test_a13_a_refused_order_holds_no_credits(alice: Account, locked: Generation, order: PlaceOrder) -> None:
    with pytest.raises(ProviderUnfunded):
        order()

    alice.refresh_from_db()
    assert (alice.held, Generation.objects.count()) == (locked.credits, 1)


def test_a13_at_most_one_probe_is_sent_at_a_time(fal: Simulator, locked: Generation, work: Work) -> None:
    make_probe_due()

    for _ in range(100):
        work.submit()

    assert len(fal.log.posts()) == 2


def test_if_the_queue_is_empty_one_new_order_is_the_probe(locked: Generation, order: PlaceOrder) -> None:
    lifecycle.failed(locked, lifecycle.failure(FailureCode.CANCELLED), actor="test")
    make_probe_due()

    order()

    with pytest.raises(ProviderUnfunded):
        order()


def test_a_repeated_order_is_still_answered_with_the_first(locked: Generation, order: PlaceOrder) -> None:
    Generation.objects.filter(pk=locked.pk).update(idempotency_key="k")

    assert order(key="k") == locked


def test_a_queued_generation_fails_at_its_deadline_and_costs_nothing(
    alice: Account, locked: Generation, work: Work
) -> None:
    Generation.objects.update(deadline_at=just_passed())
    circuit_breaker.trip("a probe was refused after the deadline")

    work.submit()

    locked.refresh_from_db()
    alice.refresh_from_db()
    assert (locked.failure_code, alice.held) == (FailureCode.PROVIDER_UNFUNDED, 0)


# --- Closing ---


def test_a_probe_that_fal_accepts_closes_the_breaker_and_queued_generations_continue(
    fal: Simulator, locked: Generation, order: PlaceOrder, work: Work
) -> None:
    fal.clear()
    make_probe_due()

    work.until_done(locked)

    assert (locked.status, circuit_breaker.is_open()) == (Status.COMPLETED, False)
    assert work.until_done(order()).status == Status.COMPLETED


def test_a_probe_whose_input_fal_rejects_closes_the_breaker(fal: Simulator, locked: Generation, work: Work) -> None:
    """fal reads the inputs only of an account that it accepts."""
    fal.clear()
    fal.script("status:422")
    make_probe_due()

    work.submit()

    assert circuit_breaker.is_open() is False


@pytest.mark.only_postgresql
def test_a_locked_generation_does_not_delay_the_others_when_the_breaker_closes(order: PlaceOrder) -> None:
    """fal's answer to the probe was recorded before. The locked one keeps its time."""
    later = timezone.now() + timedelta(minutes=1)
    locked_one, other = order(prompt="a cat"), order(prompt="a dog")
    Generation.objects.update(next_attempt_at=later)
    circuit_breaker.trip("401")

    with database_guards.locked(locked_one):
        circuit_breaker.reset()

    due = Generation.objects.filter(next_attempt_at__lt=later)
    assert [generation.pk for generation in due] == [other.pk]
