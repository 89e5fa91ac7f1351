"""Fixtures of the tests of notifications: Alice with a key, her endpoints, a receiver, and one poll of the notifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from credits.models import Account
from notifications import endpoints
from notifications.models import WebhookDelivery, WebhookEndpoint
from notifications.notifier import Notifier
from tests.fixtures.api import (
    alice,
    api,
    bob,
    completed,
    customer,
    failed,
    order,
    patient_fal,
    reset_process_state,
    running,
    storing,
)
from tests.notifications.webhook_receiver import Receiver, receiving
from tests.services.waiting import until

__all__ = [
    "alice",
    "api",
    "bob",
    "completed",
    "customer",
    "failed",
    "order",
    "patient_fal",
    "reset_process_state",
    "running",
    "storing",
]
PUBLIC_URL = "https://example.com/webhooks"
"""A URL that webhooks may be sent to. No test connects to it."""

AddEndpoint = Callable[..., WebhookEndpoint]
Poll = Callable[[], int]


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.for_user(alice)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def add_endpoint(alice: User) -> AddEndpoint:
    """`add_endpoint(receiver.url, types=[…])` creates an endpoint, by default of Alice."""

    def add(url: str = PUBLIC_URL, *, user: User = alice, **options: object) -> WebhookEndpoint:
        return endpoints.create(Account.objects.for_user(user), url, **options)  # type: ignore[arg-type]

    return add


def until_idle(notifier: Notifier) -> None:
    """Waits until no delivery is being sent."""
    until(lambda: not notifier._busy, what="the deliveries")


@pytest.fixture
def notifier() -> Iterator[Notifier]:
    notifier = Notifier()
    yield notifier
    notifier.pool.shutdown()


@pytest.fixture
def poll(notifier: Notifier) -> Poll:
    """`poll()` sends everything that is pending, also what is due later, and returns how many deliveries that were.

    Every one of them has an outcome when it returns.
    """

    def send_everything() -> int:
        pending = WebhookDelivery.objects.filter(next_attempt_at__isnull=False)
        pending.update(next_attempt_at=Now(), leased_until=None)
        count = notifier.run_once(limit=20)
        until_idle(notifier)
        return count

    return send_everything
