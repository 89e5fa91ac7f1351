"""Alice and Bob, each with credits and a key, and the work of tests/generations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credits import accounts, ledger
from credits.models import Account
from generations import api_keys
from generations.api.throttling import in_hand
from generations.limits import Refused
from generations.models import ApiKey
from tests.generations.conftest import alice, order, submitted, tidy_connections, work

__all__ = ["alice", "order", "submitted", "tidy_connections", "work"]

GENERATIONS = "/api/v1/generations/"


def wish(prompt: object = "a cat on the moon") -> dict[str, Any]:
    """The body of an order."""
    return {"model": "flux-schnell", "input": {"prompt": f"{prompt}"}}


@pytest.fixture(autouse=True)
def nothing_is_in_hand() -> Iterator[None]:
    """What one process remembers: requests that it took for customers of another test, and the key in use."""
    in_hand.clear()
    yield
    api_keys._of_this_request.set(None)


@pytest.fixture
def bob(db: None) -> Account:
    """Somebody else with 1,000 credits."""
    account = accounts.of(User.objects.create_user("bob"))
    ledger.grant(account, 1000, key="bob:start", actor="test")
    return account


def key_of(account: Account, **rights: Any) -> ApiKey:
    return api_keys.issue(account.user, "test", rights=api_keys.Rights(**rights)).key


def client_of(account: Account, **rights: Any) -> APIClient:
    """A program with a key of this customer."""
    client = APIClient()
    plain = api_keys.issue(account.user, "test", rights=api_keys.Rights(**rights)).plain
    client.credentials(HTTP_AUTHORIZATION=f"Token {plain}")
    return client


@pytest.fixture
def api(alice: Account) -> APIClient:
    return client_of(alice)


def refused(work: Callable[[], Any]) -> Callable[[], Any]:
    """The same, but a refusal is an answer."""

    def attempt() -> Any:
        try:
            return work()
        except Refused as refusal:
            return refusal

    return attempt
