"""The customer and the work of tests/generations, and batches of hers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from rest_framework.test import APIClient

from credits import accounts, ledger
from credits.models import Account
from generations import api_keys, lifecycle
from generations.api.throttling import in_hand
from generations.catalogue import find
from generations.models import Batch
from tests.generations.conftest import alice, courier, order, submitted, tidy_connections, work

__all__ = ["alice", "courier", "order", "submitted", "tidy_connections", "work"]


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    cache.clear()
    in_hand.clear()
    yield
    cache.clear()


@pytest.fixture
def api(alice: Account) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token_of(alice)}")
    return client


@pytest.fixture
def bob(db: None) -> Account:
    """Somebody else with 1,000 credits."""
    account = accounts.of(User.objects.create_user("bob"))
    ledger.grant(account, 1000, key="bob:start", actor="test")
    return account


BatchOrdering = Callable[[int], Batch]


@pytest.fixture
def order_batch(alice: Account) -> BatchOrdering:
    """`order_batch(3)`: so many orders of Alice's in one, not yet submitted."""

    def place(count: int) -> Batch:
        model = find("flux-schnell")
        asked = [{"prompt": f"cat {number}"} for number in range(count)]
        orders = [lifecycle.Order(model=model, inputs=model.read(inputs), asked=inputs) for inputs in asked]
        return lifecycle.order_batch(alice, lifecycle.BatchOrder(orders=orders), actor="user:alice")[0]

    return place


def token_of(account: Account) -> str:
    return api_keys.issue(account.user, "test").plain
