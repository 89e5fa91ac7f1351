"""Alice in front of her browser, with 1,000 credits and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from credits import accounts, ledger
from generations import lifecycle, wiring
from generations.catalogue import find
from generations.models import Generation
from simulator import Simulator
from tests.generations.work import Work

Place = Callable[..., Generation]


@pytest.fixture(autouse=True)
def tidy_connections() -> Iterator[None]:
    yield
    wiring.close()


@pytest.fixture
def alice(db: None) -> User:
    user = User.objects.create_user("alice", password="correct horse")
    ledger.grant(accounts.of(user), 1000, key="alice:start", actor="test", reason="welcome")
    return user


@pytest.fixture
def bob(db: None) -> User:
    """Somebody else, without credits."""
    return User.objects.create_user("bob", password="battery staple")


@pytest.fixture
def browser_of_alice(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def order(alice: User) -> Place:
    """`order("flux-schnell", prompt="a cat")`: an order of Alice's that nobody has submitted."""

    def place(slug: str = "flux-schnell", *, user: User = alice, **inputs: Any) -> Generation:
        model, inputs = find(slug), inputs or {"prompt": "a cat on the moon"}
        wish = lifecycle.Order(model=model, inputs=model.read(inputs), asked=inputs)
        return lifecycle.order(accounts.of(user), wish, actor=f"user:{user.username}")[0]

    return place


@pytest.fixture
def finished(fal: Simulator, order: Place) -> Callable[..., Generation]:
    """The same, made and stored."""
    return lambda *words, **inputs: Work().to_the_end(order(*words, **inputs))


def page_of(generation: Generation, name: str = "generation") -> str:
    return reverse(name, args=[generation.pk])
