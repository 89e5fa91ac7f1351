"""The outbox: which notifications an event causes, and that they are written in the transaction of the event."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credits import ledger
from credits.models import Account
from generations import lifecycle
from generations.lifecycle.transitions import Fact, record_event
from generations.models import FailureCode
from notifications import endpoints, outbox
from notifications.models import WebhookDelivery, WebhookEndpoint, WebhookType
from tests.fixtures.api import PlaceOrder
from tests.helpers.threads import race
from tests.notifications.conftest import PUBLIC_URL, AddEndpoint

pytestmark = pytest.mark.django_db
GENERATION_TYPES = list(endpoints.SUBSCRIBABLE[:3])


def written() -> list[str]:
    """The types of all deliveries, oldest first."""
    return list(WebhookDelivery.objects.order_by("id").values_list("type", flat=True))


def types_of(endpoint: WebhookEndpoint) -> list[str]:
    return list(endpoint.deliveries.order_by("id").values_list("type", flat=True))


def test_each_endpoint_receives_the_types_that_it_chose(add_endpoint: AddEndpoint, completed: PlaceOrder) -> None:
    by_default = add_endpoint()
    everything = add_endpoint(types=GENERATION_TYPES)
    failures = add_endpoint(types=["generation.failed"])

    completed()

    assert types_of(by_default) == ["generation.completed"]
    assert types_of(everything) == ["generation.progressed", "generation.progressed", "generation.completed"]
    assert types_of(failures) == []
    assert WebhookDelivery.objects.count() == 4


def test_the_deliveries_of_one_event_have_one_id(add_endpoint: AddEndpoint, failed: PlaceOrder) -> None:
    add_endpoint()
    add_endpoint()

    failed()

    assert len({delivery.webhook_id for delivery in WebhookDelivery.objects.all()}) == 1
    assert written() == ["generation.failed"] * 2


def test_another_customer_receives_nothing(add_endpoint: AddEndpoint, bob: User, completed: PlaceOrder) -> None:
    add_endpoint(user=bob)

    completed()

    assert written() == []


def test_h11_an_event_that_is_rolled_back_causes_no_delivery(add_endpoint: AddEndpoint, running: PlaceOrder) -> None:
    add_endpoint()
    generation = running()

    with transaction.atomic():
        lifecycle.failed(generation, lifecycle.failure(FailureCode.CANCELLED), actor="test")
        before = written()
        transaction.set_rollback(True)

    assert (before, written()) == (["generation.failed"], [])


def test_disabled_and_removed_endpoints_receive_nothing(add_endpoint: AddEndpoint, completed: PlaceOrder) -> None:
    endpoints.disable(add_endpoint(), "test")
    endpoints.remove(add_endpoint())

    completed()

    assert written() == []


def test_the_url_of_an_order_is_notified_of_the_end_only(running: PlaceOrder) -> None:
    generation = running()
    generation.webhook_url = PUBLIC_URL
    generation.save(update_fields=["webhook_url"])

    record_event(generation, Fact(name="progressed", actor="fal"))
    lifecycle.failed(generation, lifecycle.failure(FailureCode.CANCELLED), actor="test")

    delivery = WebhookDelivery.objects.get()
    assert (delivery.address, delivery.type, delivery.endpoint) == (PUBLIC_URL, "generation.failed", None)


@pytest.mark.parametrize("fact", ["submitted", "failed", "submitting", "surplus"])
def test_without_notification_settings_an_event_costs_one_query(order: PlaceOrder, fact: str) -> None:
    generation = order()

    with CaptureQueriesContext(connection) as captured:
        record_event(generation, Fact(name=fact, actor="test"))

    # One more inserts the event itself.
    assert len(captured) == 1 + 1


def test_ended_deliveries_are_deleted_after_a_month(add_endpoint: AddEndpoint, completed: PlaceOrder) -> None:
    add_endpoint(types=GENERATION_TYPES)
    completed()
    ended = WebhookDelivery.objects.latest("id")
    WebhookDelivery.objects.update(happened_at=timezone.now() - outbox.RETENTION * 2)
    WebhookDelivery.objects.filter(pk=ended.pk).update(state="delivered", next_attempt_at=None)

    assert outbox.delete_expired(limit=10) == 1
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"pending"}


# --- Low credits ----------------------------------------------------------------------------------------------------

LOW = {"types": ["credits.low"], "credits_low_at": 998}


def test_each_crossing_of_the_threshold_is_reported_once(
    add_endpoint: AddEndpoint, order: PlaceOrder, account: Account
) -> None:
    add_endpoint(**LOW)

    for _ in range(3):
        order()
    assert written() == ["credits.low"]

    # Above the threshold and below it again before the next check.
    ledger.grant(account, 8, key="more", actor="test")
    order()
    order()

    assert written() == ["credits.low"] * 2
    assert WebhookDelivery.objects.order_by("id")[0].data == {"available": 997, "threshold": 998}


def test_credits_that_are_below_a_new_threshold_are_not_reported(add_endpoint: AddEndpoint, order: PlaceOrder) -> None:
    add_endpoint(types=["credits.low"], credits_low_at=2000)

    order()
    outbox.check_low_credits(limit=10)

    assert written() == []


def test_a_fall_without_an_order_is_reported_too(add_endpoint: AddEndpoint, account: Account) -> None:
    endpoint = add_endpoint(**LOW)
    ledger.adjust(account, -500, key="fine", actor="staff", reason="test")

    updated = [outbox.check_low_credits(limit=10) for _ in range(2)]

    assert updated == [1, 0]
    assert written() == ["credits.low"]
    ledger.grant(account, 500, key="back", actor="test")
    assert outbox.check_low_credits(limit=10) == 1
    endpoint.refresh_from_db()
    assert endpoint.is_low is False


@pytest.mark.django_db(transaction=True)
def test_of_several_workers_that_see_a_crossing_one_reports_it(add_endpoint: AddEndpoint, account: Account) -> None:
    add_endpoint(**LOW)
    ledger.adjust(account, -500, key="fine", actor="staff", reason="test")

    results = race(*[lambda: outbox.check_low_credits(limit=10)] * 4)

    assert sorted(results) == [0, 0, 0, 1]
    assert written() == ["credits.low"]


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_of_the_account_a_crossing_is_reported_twice(
    add_endpoint: AddEndpoint, account: Account
) -> None:
    """The negative control: both have read the endpoint before either has written."""
    add_endpoint(**LOW)
    ledger.adjust(account, -500, key="fine", actor="staff", reason="test")
    read_before = [WebhookEndpoint.objects.get() for _ in range(2)]

    race(*[lambda: outbox.update_is_low([read_before.pop()], available=500, held=0)] * 2)

    assert written() == ["credits.low"] * 2


# --- Tests of an endpoint -------------------------------------------------------------------------------------------


def test_while_a_test_message_is_pending_there_is_no_second_one(add_endpoint: AddEndpoint) -> None:
    endpoint = add_endpoint()

    assert outbox.send_test(endpoint) == outbox.send_test(endpoint)
    assert written() == [WebhookType.TEST]
