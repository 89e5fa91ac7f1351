"""Placing an order or a batch: what is written, how a repeated request is answered, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from credits import ledger
from credits.models import Account
from database import clock
from generations import lifecycle
from generations.catalogue import find
from generations.errors import ProviderUnfunded
from generations.models import Batch, Generation
from generations.ordering import orders, quotas
from generations.ordering.orders import BatchOrder, Order, find_batch, find_generation
from generations.provider import circuit_breaker
from tests.fixtures.orders import PlaceOrder
from tests.helpers.lifecycle_facts import FAILURE, reach_done, reach_running, reach_storing

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db


def new_order(prompt: str = "a cat", **options: Any) -> Order:
    model = find("flux-schnell")
    inputs = {"prompt": prompt, "seed": 7}
    return Order(model=model, inputs=model.read(inputs), raw_input=inputs, **options)


def batch_of_two(key: str | None = None, **options: Any) -> BatchOrder:
    return BatchOrder(orders=[new_order(), new_order()], idempotency_key=key, **options)


# --- What is written ---


def test_a_generation_keeps_the_order_and_what_follows_from_it(alice: Account, order: PlaceOrder) -> None:
    options: dict[str, Any] = {
        "preset": "p",
        "metadata": {"for": "bob"},
        "webhook_url": "https://example.com/",
        "request_hash": "f",
        "idempotency_key": "one",
        "retry_of": order(),
    }
    placed = new_order(**options)

    generation, *_ = lifecycle.order(alice, placed, actor="user:alice")

    row = Generation.objects.get(pk=generation.pk)
    assert {name: getattr(row, name) for name in options} == options
    assert (row.model, row.endpoint, row.kind) == ("flux-schnell", "fal-ai/flux/schnell", "image")
    assert (row.input, row.arguments, row.arguments_hash) == (placed.raw_input, placed.arguments, placed.arguments_hash)
    assert (row.credits, row.list_price_millidollars) == (3, 3)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at <= clock.now() + timedelta(seconds=1) < row.deadline_at


def test_a_batch_keeps_its_options(alice: Account) -> None:
    options = {"purpose": "infographics", "notify": True, "request_hash": "f"}

    batch, _ = lifecycle.order_batch(alice, batch_of_two("one", **options), actor="user:alice")

    row = Batch.objects.get(pk=batch.pk)
    assert {name: getattr(row, name) for name in options} == options
    assert {generation.batch for generation in Generation.objects.all()} == {batch}


# --- What is refused ---


@pytest.mark.parametrize("available, is_placed", [(6, True), (5, False)])
def test_a_batch_is_placed_only_if_all_of_it_can_be_paid(available: int, is_placed: bool, bob: Account) -> None:
    ledger.adjust(bob, available - 1000, key="bob:end", actor="test", reason="to be poor")

    with nullcontext() if is_placed else pytest.raises(ledger.InsufficientCredits):
        lifecycle.order_batch(bob, batch_of_two(), actor="user:bob")

    assert Generation.objects.count() == (2 if is_placed else 0)


def test_a_batch_whose_second_order_is_refused_leaves_nothing_behind(settings: Settings, alice: Account) -> None:
    settings.USER_RUNNING_MAX = 1

    with pytest.raises(quotas.TooManyRunning):
        lifecycle.order_batch(alice, batch_of_two(), actor="user:alice")

    alice.refresh_from_db()
    assert (Batch.objects.count(), Generation.objects.count(), alice.held) == (0, 0, 0)


def test_a13_no_batch_is_placed_while_fal_refuses_limns_account(alice: Account) -> None:
    circuit_breaker.trip("User is locked")

    with pytest.raises(ProviderUnfunded):
        lifecycle.order_batch(alice, batch_of_two(), actor="user:alice")

    assert (Batch.objects.count(), Generation.objects.count()) == (0, 0)


# --- Duplicates ---


def test_an_order_is_a_duplicate_only_of_the_same_order_of_the_same_account(alice: Account, bob: Account) -> None:
    lifecycle.order(alice, new_order(), actor="user:alice")
    lifecycle.order_batch(alice, batch_of_two(request_hash="f"), actor="user:alice")
    same, same_batch = new_order(allow_duplicate=False), batch_of_two(request_hash="f", allow_duplicate=False)

    assert lifecycle.order(alice, new_order("a dog", allow_duplicate=False), actor="user:alice")[1] is True
    assert lifecycle.order(bob, same, actor="user:bob")[1] is True
    assert lifecycle.order_batch(bob, same_batch, actor="user:bob")[1] is True


def test_a_batch_may_be_placed_again_once_all_of_it_has_failed(alice: Account) -> None:
    batch, _ = lifecycle.order_batch(alice, batch_of_two(request_hash="f"), actor="user:alice")
    first, second = batch.generations.all()
    again = batch_of_two(request_hash="f", allow_duplicate=False)

    lifecycle.failed(first, FAILURE, actor="test")
    with pytest.raises(orders.DuplicateOrder):
        lifecycle.order_batch(alice, again, actor="user:alice")
    lifecycle.failed(second, FAILURE, actor="test")

    assert lifecycle.order_batch(alice, again, actor="user:alice")[1] is True


def test_only_a_completed_generation_is_reused(alice: Account, order: PlaceOrder) -> None:
    for reach in (reach_running, reach_storing, reach_done):
        reach(order(prompt="a cat", seed=7).submissions.get())
    lifecycle.failed(order(prompt="a cat", seed=7), FAILURE, actor="test")

    assert orders.find_reusable(alice, new_order()) is None


# --- Idempotency keys ---


def test_a_repeated_order_is_answered_with_the_first(alice: Account) -> None:
    first, second = (lifecycle.order(alice, new_order(idempotency_key="one"), actor="user:alice") for _ in range(2))

    assert (first.is_new, second.generation, second.is_new) == (True, first.generation, False)


def test_a_repeated_batch_is_answered_with_the_first(alice: Account) -> None:
    first, second = (lifecycle.order_batch(alice, batch_of_two("one"), actor="user:alice") for _ in range(2))

    assert (first[1], second) == (True, (first[0], False))
    assert Generation.objects.count() == 2


def test_a10_batches_with_another_key_or_of_another_account_are_independent(alice: Account, bob: Account) -> None:
    lifecycle.order_batch(alice, batch_of_two("one"), actor="user:alice")

    for account, key in ((alice, "two"), (bob, "one")):
        assert lifecycle.order_batch(account, batch_of_two(key), actor="test")[1] is True

    assert Batch.objects.count() == 3


def only_in_transactions(find: Callable[..., Any]) -> Callable[..., Any]:
    """`find`, but outside of a transaction it finds nothing, as if the other request had not been committed yet."""
    return lambda *args, **options: find(*args, **options) if connection.savepoint_ids else None


def test_the_second_of_two_simultaneous_requests_is_answered_with_the_first(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither request finds the other at first; then they take the account's lock one after the other."""
    monkeypatch.setattr("generations.lifecycle.placing.find_generation", only_in_transactions(find_generation))
    monkeypatch.setattr("generations.lifecycle.placing.find_batch", only_in_transactions(find_batch))

    generations = [lifecycle.order(alice, new_order(idempotency_key="one"), actor="user:alice") for _ in range(2)]
    batches = [lifecycle.order_batch(alice, batch_of_two("two"), actor="user:alice") for _ in range(2)]

    for first, second in (generations, batches):
        assert (first[1], *second[:2]) == (True, first[0], False)
