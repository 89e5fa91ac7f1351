"""What is written down to be told, and when: in the transaction of what happened. Case ids: failure-modes.md, H."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credits import ledger
from credits.models import Account
from generations import lifecycle
from generations.lifecycle.transitions import record_event
from generations.models import FailureCode
from notifications import endpoints, outbox
from notifications.models import WebhookDelivery, WebhookEndpoint, WebhookType
from tests.fixtures.api import Ordering
from tests.helpers.threads import race
from tests.notifications.conftest import ELSEWHERE, Listen

pytestmark = pytest.mark.django_db
ALL = list(endpoints.SUBSCRIBABLE[:3])


def told() -> list[str]:
    return list(WebhookDelivery.objects.order_by("id").values_list("type", flat=True))


def test_each_endpoint_hears_the_types_that_it_asked_for(listen: Listen, completed: Ordering) -> None:
    ends = listen()
    everything = listen(types=ALL)
    listen(types=["generation.failed"])

    completed()

    assert set(ends.deliveries.values_list("type", flat=True)) == {"generation.completed"}
    assert list(everything.deliveries.order_by("id").values_list("type", flat=True)) == [
        *("generation.progressed", "generation.progressed", "generation.completed"),
    ]
    assert WebhookDelivery.objects.count() == 4


def test_one_event_has_one_id_for_everybody(listen: Listen, failed: Ordering) -> None:
    listen()
    listen()

    failed()

    assert len({delivery.webhook_id for delivery in WebhookDelivery.objects.all()}) == 1
    assert told() == ["generation.failed"] * 2


def test_nobody_hears_of_somebody_elses(listen: Listen, bob: User, completed: Ordering) -> None:
    listen(user=bob)

    completed()

    assert told() == []


def test_h11_what_was_rolled_back_is_not_told(listen: Listen, running: Ordering) -> None:
    listen()
    generation = running()

    with transaction.atomic():
        lifecycle.failed(generation, lifecycle.failure(FailureCode.CANCELLED), actor="test")
        before = told()
        transaction.set_rollback(True)

    assert (before, told()) == (["generation.failed"], [])


def test_who_is_switched_off_or_removed_hears_nothing(listen: Listen, completed: Ordering) -> None:
    endpoints.disable(listen(), "test")
    endpoints.remove(listen())

    completed()

    assert told() == []


def test_an_orders_own_address_hears_of_its_end_alone(running: Ordering) -> None:
    generation = running()
    generation.webhook_url = ELSEWHERE
    generation.save(update_fields=["webhook_url"])

    record_event(generation, "progressed", actor="fal")
    lifecycle.failed(generation, lifecycle.failure(FailureCode.CANCELLED), actor="test")

    delivery = WebhookDelivery.objects.get()
    assert (delivery.address, delivery.type, delivery.endpoint) == (ELSEWHERE, "generation.failed", None)


@pytest.mark.parametrize("fact, questions", [("submitted", 1), ("failed", 1), ("submitting", 0), ("surplus", 0)])
def test_who_wants_to_hear_nothing_costs_one_question(order: Ordering, fact: str, questions: int) -> None:
    generation = order()

    with CaptureQueriesContext(connection) as queries:
        record_event(generation, fact, actor="test")

    assert len(queries) == 1 + questions


def test_what_ended_a_month_ago_is_forgotten(listen: Listen, completed: Ordering) -> None:
    listen(types=ALL)
    completed()
    done = WebhookDelivery.objects.latest("id")
    month_ago = timezone.now() - outbox.RETENTION * 2
    WebhookDelivery.objects.update(happened_at=month_ago)
    WebhookDelivery.objects.filter(pk=done.pk).update(state="delivered", next_attempt_at=None)

    assert outbox.delete_expired(limit=10) == 1
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"pending"}


# --- Credits that run low -----------------------------------------------------------------------------------------

LOW = {"types": ["credits.low"], "credits_low_at": 998}


def test_low_credits_are_told_once_for_each_crossing(listen: Listen, order: Ordering, account: Account) -> None:
    listen(**LOW)

    for _ in range(3):
        order()
    assert told() == ["credits.low"]

    # Up and down again before anybody has looked.
    ledger.grant(account, 8, key="more", actor="test")
    order()
    order()

    assert told() == ["credits.low"] * 2
    assert WebhookDelivery.objects.order_by("id")[0].data == {"available": 997, "threshold": 998}


def test_what_lies_below_a_new_threshold_has_not_just_fallen(listen: Listen, order: Ordering) -> None:
    listen(types=["credits.low"], credits_low_at=2000)

    order()
    outbox.check_low_credits(limit=10)

    assert told() == []


def test_a_fall_that_no_order_caused_is_noticed_too(listen: Listen, account: Account) -> None:
    endpoint = listen(**LOW)
    ledger.adjust(account, -500, key="fine", actor="staff", reason="test")

    changed = [outbox.check_low_credits(limit=10) for _ in range(2)]

    assert changed == [1, 0]
    assert told() == ["credits.low"]
    ledger.grant(account, 500, key="back", actor="test")
    assert outbox.check_low_credits(limit=10) == 1
    endpoint.refresh_from_db()
    assert endpoint.is_low is False


@pytest.mark.django_db(transaction=True)
def test_many_who_see_one_crossing_tell_it_once(listen: Listen, account: Account) -> None:
    listen(**LOW)
    ledger.adjust(account, -500, key="fine", actor="staff", reason="test")

    results = race(*[lambda: outbox.check_low_credits(limit=10)] * 4)

    assert sorted(results) == [0, 0, 0, 1]
    assert told() == ["credits.low"]


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_accounts_turn_one_crossing_is_told_twice(listen: Listen, account: Account) -> None:
    """The negative control: both look before either has written."""
    listen(**LOW)
    ledger.adjust(account, -500, key="fine", actor="staff", reason="test")
    seen = [WebhookEndpoint.objects.get() for _ in range(2)]

    race(*[lambda: outbox.update_is_low(seen.pop(), available=500, held=0)] * 2)

    assert told() == ["credits.low"] * 2


# --- By hand ------------------------------------------------------------------------------------------------------


def test_while_a_test_is_under_way_there_is_no_second(listen: Listen) -> None:
    endpoint = listen()

    assert outbox.send_test(endpoint) == outbox.send_test(endpoint)
    assert told() == [WebhookType.TEST]
