"""Webhook deliveries: what counts as delivered, when another attempt is made, and that one customer delays no other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.utils import timezone

from database import clock
from generations.jobs import leases
from generations.models import Generation
from notifications import endpoints, outbox, payloads
from notifications import notifier as notifier_module
from notifications.models import WebhookDelivery, WebhookEndpoint, WebhookType
from notifications.notifier import Notifier
from notifications.outbox import RETRY_DELAYS_SECONDS
from operations import invariants
from tests.fixtures.api import PlaceOrder
from tests.notifications.conftest import AddEndpoint, Poll, until_idle
from tests.notifications.webhook_receiver import PATH, Answer, Receiver, receiving
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def endpoint(add_endpoint: AddEndpoint, receiver: Receiver) -> WebhookEndpoint:
    return add_endpoint(receiver.url)


@pytest.fixture
def delivery(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """A delivery to the receiver that is due."""
    return outbox.send_test(endpoint)


def pause_seconds(delivery: WebhookDelivery) -> float:
    """The time from the last attempt to the next one. It includes the last attempt itself."""
    assert delivery.next_attempt_at is not None
    return (delivery.next_attempt_at - delivery.log.latest("id").at).total_seconds()


def test_a_message_is_delivered_signed_and_logged(
    delivery: WebhookDelivery, poll: Poll, receiver: Receiver, endpoint: WebhookEndpoint
) -> None:
    receiver.answers = [Answer(202, body=b"thank you")]

    assert poll() == 1

    message = receiver.received[0].verify(endpoints.current_secret(endpoint))
    delivery.refresh_from_db()
    attempt = delivery.log.get()
    assert message["type"] == "webhook.test"
    assert receiver.ids == [delivery.webhook_id]
    assert (delivery.state, delivery.next_attempt_at, delivery.tries) == ("delivered", None, 1)
    assert (attempt.status, attempt.answer, attempt.error) == (202, "thank you", "")
    assert poll() == 0


def test_any_other_status_than_2xx_is_retried_after_five_seconds(
    endpoint: WebhookEndpoint, poll: Poll, receiver: Receiver
) -> None:
    statuses = [301, 302, 400, 404, 429, 500, 503]
    for status in statuses:
        WebhookDelivery.objects.update(state="exhausted", next_attempt_at=None)
        delivery = outbox.send_test(endpoint)
        redirect = {"Location": receiver.url.replace(PATH, "/elsewhere")}
        receiver.answers = [Answer(status, redirect, b"no\0")]

        poll()

        delivery.refresh_from_db()
        attempt = delivery.log.get()
        assert (delivery.state, attempt.status, attempt.answer) == ("pending", status, "no�")
        assert 4 <= pause_seconds(delivery) < 6 + HANG_SECONDS
    endpoint.refresh_from_db()
    assert endpoint.failing_since is not None
    assert [request.path for request in receiver.received] == [PATH] * len(statuses)


def test_h6_after_ten_attempts_in_three_days_a_delivery_is_given_up(
    delivery: WebhookDelivery, poll: Poll, receiver: Receiver
) -> None:
    receiver.answers = [Answer(500)] * 10
    pauses = []

    while delivery.state == "pending":
        assert poll() == 1
        delivery.refresh_from_db()
        pauses += [pause_seconds(delivery)] if delivery.next_attempt_at else []

    assert len(pauses) == 9
    for pause, full in zip(pauses, RETRY_DELAYS_SECONDS[1:], strict=True):
        assert 0.8 * full <= pause < 1.2 * full + HANG_SECONDS
    assert (delivery.state, delivery.detail, delivery.log.count()) == ("exhausted", "failed 10 times", 10)
    assert receiver.ids == [delivery.webhook_id] * 10


@pytest.mark.once
def test_delays_are_scattered_and_a_longer_retry_after_counts() -> None:
    delays = [outbox.retry_delay_seconds(1) for _ in range(200)]

    assert 4 <= min(delays) < 4.5
    assert 5.5 < max(delays) <= 6
    assert outbox.retry_delay_seconds(1, retry_after=60) == 60
    assert outbox.retry_delay_seconds(2, retry_after=60) > 60
    assert outbox.retry_delay_seconds(1, retry_after=10**9) == 86_400


def test_the_header_retry_after_is_respected(delivery: WebhookDelivery, poll: Poll, receiver: Receiver) -> None:
    receiver.answers = [Answer(503, {"Retry-After": "900"})]

    poll()

    delivery.refresh_from_db()
    assert 899 < pause_seconds(delivery) < 900 + HANG_SECONDS


def test_410_gone_disables_the_endpoint(delivery: WebhookDelivery, poll: Poll, receiver: Receiver) -> None:
    receiver.answers = [Answer(410)]

    poll()

    delivery.refresh_from_db()
    endpoint = delivery.endpoint
    assert endpoint is not None
    assert (delivery.state, endpoint.disabled_because) == ("exhausted", "It answered 410 Gone.")
    assert not outbox.resend(delivery)


def test_h6_an_endpoint_that_has_failed_for_five_days_is_disabled(
    delivery: WebhookDelivery, poll: Poll, receiver: Receiver
) -> None:
    receiver.answers = [Answer(500)] * 2
    rows = WebhookEndpoint.objects.filter(deliveries=delivery)
    rows.update(failing_since=timezone.now() - timedelta(days=4))
    poll()
    assert rows.get().is_enabled

    rows.update(failing_since=timezone.now() - timedelta(days=5, minutes=1))
    poll()

    assert rows.get().disabled_because == "It failed for 5 days."


def test_a_success_ends_a_period_of_failures(delivery: WebhookDelivery, poll: Poll, receiver: Receiver) -> None:
    receiver.answers = [Answer(500)]
    poll()
    assert WebhookEndpoint.objects.get().failing_since is not None

    poll()

    assert WebhookEndpoint.objects.get().failing_since is None


def test_nothing_is_sent_to_a_disabled_endpoint(delivery: WebhookDelivery, poll: Poll, receiver: Receiver) -> None:
    assert delivery.endpoint is not None
    endpoints.disable(delivery.endpoint, "test")

    poll()

    delivery.refresh_from_db()
    assert (delivery.state, receiver.received) == ("exhausted", [])


def test_a_resent_delivery_keeps_its_id(delivery: WebhookDelivery, poll: Poll, receiver: Receiver) -> None:
    poll()

    assert outbox.resend(delivery)
    poll()

    delivery.refresh_from_db()
    assert receiver.ids == [delivery.webhook_id] * 2
    assert (delivery.state, delivery.tries, delivery.log.count()) == ("delivered", 2, 2)


# --- At least once --------------------------------------------------------------------------------------------------


def test_h8_after_a_crash_a_delivery_is_sent_again_with_the_same_id(
    delivery: WebhookDelivery, poll: Poll, receiver: Receiver
) -> None:
    # A worker has sent the message, and died before it recorded the outcome.
    (claimed,) = leases.claim(WebhookDelivery.objects.to_send(), limit=1, seconds=-1)
    notifier_module.post(payloads.build(claimed, now=timezone.now()))

    poll()

    delivery.refresh_from_db()
    assert receiver.ids == [delivery.webhook_id] * 2
    assert delivery.state == "delivered"


def test_a_worker_that_lost_its_lease_only_adds_to_the_log(delivery: WebhookDelivery, poll: Poll) -> None:
    (late,) = leases.claim(WebhookDelivery.objects.to_send(), limit=1, seconds=-1)
    poll()

    assert not outbox.record_attempt(late, outbox.DeliveryAttempt(duration_ms=1, error="too late"))

    delivery.refresh_from_db()
    assert (delivery.state, delivery.log.count()) == ("delivered", 2)


def test_a_delivery_that_crashes_its_workers_is_given_up(delivery: WebhookDelivery, notifier: Notifier) -> None:
    WebhookDelivery.objects.update(crashes=leases.CRASHES_MAX)

    notifier.run_once(limit=5)

    until_idle(notifier)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.detail[:9]) == ("exhausted", "5 workers")


# --- Turns ----------------------------------------------------------------------------------------------------------


def test_h4_a_silent_endpoint_delays_no_other_customer(
    add_endpoint: AddEndpoint, notifier: Notifier, receiver: Receiver, bob: User
) -> None:
    receiver.may_answer.clear()
    silent = add_endpoint(receiver.url)
    for _ in range(50):
        outbox.enqueue(silent, WebhookType.COMPLETED, data={})
    with receiving() as bobs_receiver:
        started = [notifier.run_once(limit=8)]
        outbox.send_test(add_endpoint(bobs_receiver.url, user=bob))

        # With room for a single delivery, it is Bob's: all threads that Alice may have are busy.
        started += [notifier.run_once(limit=1), notifier.run_once(limit=8)]

        until(lambda: bobs_receiver.received, what="Bob's message")
        until(lambda: len(receiver.received) == notifier_module.THREADS_PER_ACCOUNT)
    assert started == [notifier_module.THREADS_PER_ACCOUNT, 1, 0]
    receiver.may_answer.set()


def test_h4_without_the_limit_a_silent_endpoint_takes_every_thread(
    add_endpoint: AddEndpoint, notifier: Notifier, receiver: Receiver, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr(notifier_module, "THREADS_PER_ACCOUNT", notifier_module.THREADS)
    receiver.may_answer.clear()
    silent = add_endpoint(receiver.url)
    for _ in range(notifier_module.THREADS):
        outbox.enqueue(silent, WebhookType.COMPLETED, data={})
    notifier.run_once(limit=notifier_module.THREADS)
    bobs = outbox.send_test(add_endpoint(receiver.url, user=bob))

    assert notifier.run_once(limit=8) == 0
    assert WebhookDelivery.objects.get(pk=bobs.pk).lease is None
    receiver.may_answer.set()


def test_a_delivery_is_not_sent_before_it_is_due(delivery: WebhookDelivery, notifier: Notifier) -> None:
    WebhookDelivery.objects.update(next_attempt_at=clock.from_now(HANG_SECONDS))
    assert notifier.run_once(limit=5) == 0

    WebhookDelivery.objects.update(next_attempt_at=Now())
    assert notifier.run_once(limit=5) == 1


# --- The invariant I15 ----------------------------------------------------------------------------------------------


def violations() -> list[str]:
    return sorted(finding.detail for finding in invariants.always() if finding.rule == "I15")


def test_i15_delivered_and_abandoned_deliveries_violate_nothing(
    delivery: WebhookDelivery, endpoint: WebhookEndpoint, poll: Poll
) -> None:
    poll()
    outbox.abandon(outbox.send_test(endpoint), "test")

    assert violations() == []


def test_i15_a_missing_delivery_and_one_without_a_2xx_response_are_found(
    delivery: WebhookDelivery, failed: PlaceOrder
) -> None:
    WebhookDelivery.objects.update(state="delivered", next_attempt_at=None)
    failed()
    Generation.objects.update(webhook_url="https://example.com/")

    assert violations() == ["ended without a delivery to its webhook_url", "is delivered without a 2xx response"]
