"""An order by itself and a batch of them: what a repetition is answered, and when nothing is taken."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from credits import ledger
from credits.models import Account
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


@pytest.fixture
def bob(db: None) -> Account:
    account = Account.objects.for_user(User.objects.create_user("bob"))
    ledger.grant(account, 1000, key="bob:start", actor="test")
    return account


def wish(prompt: str = "a cat", **said: Any) -> orders.Order:
    model = find("flux-schnell")
    asked = {"prompt": prompt, "seed": 7}
    return Order(model=model, inputs=model.read(asked), raw_input=asked, **said)


def two(key: str | None = None, **said: Any) -> orders.BatchOrder:
    return BatchOrder(orders=[wish(), wish()], idempotency_key=key, **said)


def test_an_order_keeps_all_that_was_said_and_what_follows_from_it(alice: Account, order: PlaceOrder) -> None:
    said: dict[str, Any] = {
        "preset": "p",
        "metadata": {"for": "bob"},
        "webhook_url": "https://example.com/",
        "request_hash": "f",
    }
    asked = wish(**said, idempotency_key="one", retry_of=order())

    generation, _ = lifecycle.order(alice, asked, actor="user:alice")

    generation = Generation.objects.get(pk=generation.pk)
    kept = {name: getattr(generation, name) for name in said}
    assert kept == said
    assert (generation.idempotency_key, generation.retry_of) == ("one", asked.retry_of)
    assert (generation.model, generation.endpoint, generation.kind) == ("flux-schnell", "fal-ai/flux/schnell", "image")
    assert (generation.input, generation.arguments) == (asked.raw_input, asked.arguments)
    assert (generation.credits, generation.list_price_millidollars, generation.arguments_hash) == (
        3,
        3,
        asked.arguments_hash,
    )
    assert generation.next_attempt_at is not None
    assert generation.next_attempt_at <= timezone.now() < generation.deadline_at


def test_a_batch_keeps_what_was_said_of_it(alice: Account) -> None:
    said = {"purpose": "infographics", "notify": True, "request_hash": "f"}

    batch, _ = lifecycle.order_batch(alice, two("one", **said), actor="user:alice")

    batch = Batch.objects.get(pk=batch.pk)
    assert {name: getattr(batch, name) for name in said} == said
    assert {generation.batch for generation in Generation.objects.all()} == {batch}


@pytest.mark.parametrize("spared, is_taken", [(6, True), (5, False)])
def test_a_batch_is_taken_if_all_of_it_can_be_paid(spared: int, is_taken: bool, bob: Account) -> None:
    ledger.adjust(bob, spared - 1000, key="bob:end", actor="test", reason="to be poor")

    with nullcontext() if is_taken else pytest.raises(ledger.InsufficientCredits):
        lifecycle.order_batch(bob, two(), actor="user:bob")

    assert Generation.objects.count() == (2 if is_taken else 0)


def test_of_a_batch_that_is_refused_half_way_nothing_is_left(settings: Settings, alice: Account) -> None:
    settings.USER_RUNNING_MAX = 1

    with pytest.raises(quotas.TooManyRunning):
        lifecycle.order_batch(alice, two(), actor="user:alice")

    alice.refresh_from_db()
    assert (Batch.objects.count(), Generation.objects.count(), alice.held) == (0, 0, 0)


def test_only_the_very_same_wish_of_the_same_customer_may_be_a_second_click(alice: Account, bob: Account) -> None:
    lifecycle.order(alice, wish(), actor="user:alice")
    lifecycle.order_batch(alice, two(request_hash="f"), actor="user:alice")

    assert lifecycle.order(alice, wish("a dog", allow_duplicate=False), actor="user:alice")[1] is True
    assert lifecycle.order(bob, wish(allow_duplicate=False), actor="user:bob")[1] is True
    assert lifecycle.order_batch(bob, two(request_hash="f", allow_duplicate=False), actor="user:bob")[1] is True


def test_a_repeated_order_is_answered_with_the_first(alice: Account) -> None:
    first, again = (lifecycle.order(alice, wish(idempotency_key="one"), actor="user:alice") for _ in range(2))

    assert (first[1], again) == (True, (first[0], False))


def test_a_repeated_batch_is_answered_with_the_first(alice: Account) -> None:
    first, again = (lifecycle.order_batch(alice, two("one"), actor="user:alice") for _ in range(2))

    assert (first[1], again) == (True, (first[0], False))
    assert Generation.objects.count() == 2


def blind_before_the_lock(find: Callable[..., Any]) -> Callable[..., Any]:
    """`find`, but outside of a transaction it finds nothing: the other request has not committed yet."""
    return lambda *args, **options: find(*args, **options) if connection.savepoint_ids else None


def test_the_second_of_two_simultaneous_requests_is_answered_with_the_first(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look for an earlier order and find none; then they pass the account's lock one after another."""
    monkeypatch.setattr("generations.lifecycle.placing.find_generation", blind_before_the_lock(find_generation))
    monkeypatch.setattr("generations.lifecycle.placing.find_batch", blind_before_the_lock(find_batch))

    generations = [lifecycle.order(alice, wish(idempotency_key="one"), actor="user:alice") for _ in range(2)]
    batches = [lifecycle.order_batch(alice, two("two"), actor="user:alice") for _ in range(2)]

    for first, again in (generations, batches):
        assert (first[1], again) == (True, (first[0], False))


def test_another_key_is_another_batch_and_so_is_another_customers(alice: Account, bob: Account) -> None:
    """A10."""
    lifecycle.order_batch(alice, two("one"), actor="user:alice")

    for account, key in ((alice, "two"), (bob, "one")):
        assert lifecycle.order_batch(account, two(key), actor="test")[1] is True

    assert Batch.objects.count() == 3


def test_a_batch_of_which_everything_failed_may_be_ordered_again_at_once(alice: Account) -> None:
    batch, _ = lifecycle.order_batch(alice, two(request_hash="f"), actor="user:alice")
    first, other = batch.generations.all()

    lifecycle.failed(first, FAILURE, actor="test")
    with pytest.raises(orders.DuplicateOrder):
        lifecycle.order_batch(alice, two(request_hash="f", allow_duplicate=False), actor="user:alice")
    lifecycle.failed(other, FAILURE, actor="test")

    assert lifecycle.order_batch(alice, two(request_hash="f", allow_duplicate=False), actor="user:alice")[1] is True


def test_a13_while_fal_refuses_us_no_batch_is_taken(alice: Account) -> None:
    circuit_breaker.trip("User is locked")

    with pytest.raises(ProviderUnfunded):
        lifecycle.order_batch(alice, two(None), actor="user:alice")

    assert (Batch.objects.count(), Generation.objects.count()) == (0, 0)


def test_only_what_has_been_delivered_is_delivered_again(alice: Account, order: PlaceOrder) -> None:
    for place in (reach_running, reach_storing, reach_done):
        place(order(prompt="a cat", seed=7).submissions.get())
    lifecycle.failed(order(prompt="a cat", seed=7), FAILURE, actor="test")

    assert orders.find_reusable(alice, wish()) is None
