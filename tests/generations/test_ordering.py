"""An order by itself and a batch of them: what a repetition is answered, and when nothing is taken."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from credits import accounts, ledger
from credits.models import Account
from generations import breaker, lifecycle
from generations.catalogue import find
from generations.lifecycle import ordering
from generations.models import Batch, Generation
from tests.generations.conftest import Ordering
from tests.generations.facts import NO, ended, running, storing

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(db: None) -> Account:
    account = accounts.of(User.objects.create_user("bob"))
    ledger.grant(account, 1000, key="bob:start", actor="test")
    return account


def wish(**said: object) -> lifecycle.Order:
    model = find("flux-schnell")
    asked = {"prompt": "a cat", "seed": 7}
    return lifecycle.Order(model=model, inputs=model.read(asked), asked=asked, **said)  # type: ignore[arg-type]


def two(key: str | None) -> lifecycle.BatchOrder:
    return lifecycle.BatchOrder(orders=[wish(), wish()], idempotency_key=key)


def test_a_repeated_order_is_answered_with_the_first(alice: Account) -> None:
    first, again = (lifecycle.order(alice, wish(idempotency_key="one"), actor="user:alice") for _ in range(2))

    assert (first[1], again) == (True, (first[0], False))


def test_a_repeated_batch_is_answered_with_the_first(alice: Account) -> None:
    first, again = (lifecycle.order_batch(alice, two("one"), actor="user:alice") for _ in range(2))

    assert (first[1], again) == (True, (first[0], False))
    assert Generation.objects.count() == 2


def test_whoever_comes_second_in_a_race_is_answered_with_the_first(alice: Account) -> None:
    """Both have looked for an earlier one and found none; then they pass the account's lock one after another."""
    generations = [ordering._open(alice, wish(idempotency_key="one"), actor="user:alice") for _ in range(2)]
    batches = [ordering._open_batch(alice, two("two"), actor="user:alice") for _ in range(2)]

    for first, again in (generations, batches):
        assert (first[1], again) == (True, (first[0], False))


def test_another_key_is_another_batch_and_so_is_another_customers(alice: Account, bob: Account) -> None:
    """A10."""
    lifecycle.order_batch(alice, two("one"), actor="user:alice")

    for account, key in ((alice, "two"), (bob, "one")):
        assert lifecycle.order_batch(account, two(key), actor="test")[1] is True

    assert Batch.objects.count() == 3


def test_a13_while_fal_refuses_us_no_batch_is_taken(alice: Account) -> None:
    breaker.trip("User is locked")

    with pytest.raises(lifecycle.ProviderUnfunded):
        lifecycle.order_batch(alice, two(None), actor="user:alice")

    assert (Batch.objects.count(), Generation.objects.count()) == (0, 0)


def test_only_what_has_been_delivered_is_delivered_again(alice: Account, order: Ordering) -> None:
    for place in (running, storing, ended):
        place(order(prompt="a cat", seed=7).submissions.get())
    lifecycle.failed(order(prompt="a cat", seed=7), NO, actor="test")

    assert lifecycle.delivered_before(alice, wish()) is None
