"""The cancellation of a batch: what follows for each of its generations is what follows from its own cancellation."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from credits.audit import audit
from credits.models import Account, Entry, Hold
from generations import lifecycle, services
from generations.catalogue import find
from generations.lifecycle import cancelling
from generations.lifecycle.transitions import lock_all_of
from generations.models import Batch, CancelledBy, Event, Generation, Phase, Status
from generations.models.spending import DailySpending
from generations.ordering.orders import BatchOrder, Order
from notifications import endpoints
from notifications.models import EmailNotification, Subscriber, WebhookDelivery
from tests.fixtures.orders import customer
from tests.helpers.database_guards import locked
from tests.helpers.lifecycle_facts import REACH
from tests.helpers.threads import at_once
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)
BY: Any = {"by": CancelledBy.CUSTOMER, "actor": "user:alice"}
# Ids, times, and a note with the id of a job.
DIFFERING = {
    "id",
    "account_id",
    "batch_id",
    "generation_id",
    "hold_id",
    "endpoint_id",
    "message_id",
    "reference",
    "key",
    "staff_note",
}


def place(account: Account, *, webhook_url: str = "") -> Batch:
    """A batch with a generation in each phase, and two in the first."""
    model = find("flux-schnell")
    raw_inputs = [{"prompt": f"cat {number}", "num_images": number % 4 + 1} for number in range(len(REACH) + 1)]
    orders = [
        Order(model=model, inputs=model.read(raw_input), raw_input=raw_input, webhook_url=webhook_url)
        for raw_input in raw_inputs
    ]
    batch, _ = lifecycle.order_batch(account, BatchOrder(orders=orders), actor="user:alice")
    for generation, reach in zip(batch.generations.order_by("pk"), REACH.values(), strict=False):
        reach(generation.submissions.get())
    return batch


def rows_of(account: Account) -> list[dict[str, Any]]:
    """Every row about the orders of an account, without ids and times."""
    of_account = (Generation, Event, Hold, Entry, WebhookDelivery, EmailNotification, Batch, DailySpending)
    return [
        {name: value for name, value in row.items() if name not in DIFFERING and not name.endswith(("_at", "_until"))}
        for table in of_account
        for row in table._default_manager.filter(account=account).order_by("pk").values()
    ]


def with_settings(name: str) -> Account:
    """A customer who wants to know of everything."""
    account = customer(name)
    for _ in range(2):
        endpoints.create(account, "https://example.com/webhook", types=list(endpoints.SUBSCRIBABLE[:3]))
    Subscriber.objects.filter(account=account).update(email_preference=Subscriber.EmailPreference.ALWAYS)
    return account


def test_it_writes_what_the_cancellation_of_each_writes() -> None:
    together, each = (place(with_settings(name), webhook_url="https://example.com/own") for name in ("alice", "bob"))
    for generation in each.generations.order_by("pk"):
        lifecycle.cancel_asked(generation, **BY)

    lifecycle.cancel_batch(together, **BY)

    # Those with fal come first, so the events have another order.
    rows, expected = rows_of(together.account), rows_of(each.account)
    assert sorted(rows, key=str) == sorted(expected, key=str)
    available = [list(batch.account.entries.values_list("available_after", flat=True)) for batch in (together, each)]
    assert available[0] == available[1]
    assert audit().clean


def test_what_has_not_been_submitted_is_released_and_the_rest_is_asked_of_fal() -> None:
    batch = place(customer("alice"))

    lifecycle.cancel_batch(batch, **BY)

    cancelled = batch.generations.filter(status=Status.FAILED, failure_code="cancelled")
    asked = batch.generations.filter(cancel_asked_at__isnull=False)
    with_fal = {Phase.SUBMITTING, Phase.UNKNOWN, Phase.WAITING, Phase.RUNNING}
    assert (cancelled.count(), set(asked.values_list("phase", flat=True))) == (2, with_fal)
    assert set(asked) <= set(Generation.objects.to_reconcile())


def test_a_second_cancellation_changes_nothing() -> None:
    batch = place(customer("alice"))
    lifecycle.cancel_batch(batch, **BY)
    before = rows_of(batch.account)

    services.cancel_batch(batch, **BY)

    assert rows_of(batch.account) == before


def test_nothing_of_another_batch_is_cancelled() -> None:
    account = customer("alice")
    batch, other = place(account), place(account)

    lifecycle.cancel_batch(batch, **BY)

    assert not other.generations.filter(cancel_asked_at__isnull=False).exists()
    assert other.generations.filter(failure_code="cancelled").count() == 0


@pytest.mark.only_postgresql
def test_a_generation_that_another_transaction_has_locked_follows_later() -> None:
    """Waiting for it while others are locked could be a deadlock: a worker locks generations in its own order."""
    batch = place(customer("alice"))
    busy = batch.generations.order_by("pk").first()
    assert busy is not None

    with locked(busy):
        lifecycle.cancel_batch(batch, **BY)
        assert list(batch.generations.filter(phase=Phase.QUEUED)) == [busy]

    services.cancel_batch(batch, **BY)
    assert not batch.generations.filter(phase=Phase.QUEUED).exists()
    assert audit().clean


@pytest.mark.only_postgresql
def test_two_cancellations_at_once_cancel_each_generation_once(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, both_have_locked = place(customer("alice")), threading.Barrier(2)

    def lock_and_wait(of: Batch) -> list[Generation]:
        generations = lock_all_of(of)
        both_have_locked.wait(HANG_SECONDS)
        return generations

    monkeypatch.setattr(cancelling, "lock_all_of", lock_and_wait)

    at_once(2, lambda number: lifecycle.cancel_batch(batch, **BY))

    assert Event.objects.filter(fact="failed", generation__failure_code="cancelled").count() == 2
    assert Event.objects.filter(fact="cancel_asked").count() == 4
    assert audit().clean
