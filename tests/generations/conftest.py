"""A customer, her orders, and the background work, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits import accounts, ledger
from credits.models import Account
from generations import lifecycle, wiring
from generations.catalogue import find
from generations.models import Generation, Submission
from simulator import Simulator
from tests.generations.callback import Courier
from tests.generations.work import Work


@pytest.fixture(autouse=True)
def tidy_connections() -> Iterator[None]:
    """Every test leaves fal's sockets closed: an unclosed one would fail whichever test runs when it is found."""
    yield
    wiring.close()


@pytest.fixture
def alice(db: None) -> Account:
    """A customer with 1,000 credits."""
    account = accounts.of(User.objects.create_user("alice"))
    ledger.grant(account, 1000, key="alice:start", actor="test")
    return account


Ordering = Callable[..., Generation]


@pytest.fixture
def order(alice: Account) -> Ordering:
    """`order("flux-schnell", prompt="a cat")`: Alice's order, not yet submitted."""

    def place(
        slug: str = "flux-schnell", *, account: Account = alice, key: str | None = None, **inputs: Any
    ) -> Generation:
        model = find(slug)
        inputs = inputs or ({"image_url": "https://example.com/cat.png"} if model.kind == "3d" else {"prompt": "a cat"})
        wish = lifecycle.Order(model=model, inputs=model.read(inputs), asked=inputs, idempotency_key=key)
        generation, _ = lifecycle.order(account, wish, actor="user:alice")
        return generation

    return place


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def courier(fal: Simulator, client: Client) -> Courier:
    return Courier(fal=fal, client=client)


@pytest.fixture
def submitted(fal: Simulator, order: Ordering, work: Work) -> Submission:
    """The accepted attempt of an order that runs at fal until somebody finishes it. fal itself calls nobody."""
    fal.script("hold", "callback:lost")
    generation = order()
    work.submit()
    return generation.submissions.get()
