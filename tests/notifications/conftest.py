"""Alice and her key, as in the API's tests; a program of hers that is told things; and one turn of who tells it."""

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
from tests.services.waiting import HANG_SECONDS

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
ELSEWHERE = "https://example.com/told"
"""Nobody dials it: the world is closed to tests."""

Listen = Callable[..., WebhookEndpoint]


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.for_user(alice)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def listen(alice: User) -> Listen:
    """`listen(receiver.url, types=[…])`: an endpoint of Alice's."""

    def add(url: str = ELSEWHERE, *, user: User = alice, **options: object) -> WebhookEndpoint:
        return endpoints.create(Account.objects.for_user(user), url, **options)  # type: ignore[arg-type]

    return add


@pytest.fixture
def notifier() -> Iterator[Notifier]:
    notifier = Notifier()
    yield notifier
    assert notifier.wait_until_idle(seconds_max=HANG_SECONDS)
    notifier.pool.shutdown()


@pytest.fixture
def turn(notifier: Notifier) -> Callable[[], int]:
    """One turn, with whatever is due later due now; everything it took on has an outcome when it returns."""

    def once() -> int:
        due_some_time = WebhookDelivery.objects.filter(next_attempt_at__isnull=False)
        due_some_time.update(next_attempt_at=Now(), leased_until=None)
        taken = notifier.run_once(limit=20)
        assert notifier.wait_until_idle(seconds_max=HANG_SECONDS)
        return taken

    return once
