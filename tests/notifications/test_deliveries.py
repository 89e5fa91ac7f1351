"""Sending: what counts as taken, when it is tried again, and who waits for whom. Case ids: failure-modes.md, H."""

from __future__ import annotations

from collections.abc import Callable
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
from tests.fixtures.api import Ordering
from tests.notifications.conftest import Listen
from tests.notifications.webhook_receiver import Answer, Receiver, receiving
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db(transaction=True)
Turn = Callable[[], int]


@pytest.fixture
def endpoint(listen: Listen, receiver: Receiver) -> WebhookEndpoint:
    return listen(receiver.url)


@pytest.fixture
def delivery(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """A message that is due to her program."""
    return outbox.send_test(endpoint)


def test_a_message_arrives_signed_and_is_in_the_log(
    delivery: WebhookDelivery, turn: Turn, receiver: Receiver, endpoint: WebhookEndpoint
) -> None:
    receiver.answers = [Answer(202, body=b"thank you")]

    assert turn() == 1

    said = receiver.got[0].verified(endpoints.current_secret(endpoint))
    delivery.refresh_from_db()
    attempt = delivery.log.get()
    assert said["type"] == "webhook.test"
    assert receiver.ids == [delivery.webhook_id]
    assert (delivery.state, delivery.next_attempt_at, delivery.tries) == ("delivered", None, 1)
    assert (attempt.status, attempt.answer, attempt.error) == (202, "thank you", "")
    assert turn() == 0


@pytest.mark.parametrize("status", [301, 302, 400, 404, 429, 500, 503])
def test_what_is_no_2xx_is_tried_again_in_five_seconds(
    delivery: WebhookDelivery, turn: Turn, receiver: Receiver, endpoint: WebhookEndpoint, status: int
) -> None:
    receiver.answers = [Answer(status, {"Location": receiver.url.replace("told", "canary")}, b"no\0")]

    turn()

    delivery.refresh_from_db()
    endpoint.refresh_from_db()
    assert (delivery.state, delivery.log.get().status, delivery.log.get().answer) == ("pending", status, "no�")
    assert 0 < _seconds_until(delivery) <= 5 * 1.2
    assert endpoint.failing_since is not None
    assert {got.path for got in receiver.got} == {"/told"}


def _seconds_until(delivery: WebhookDelivery) -> float:
    assert delivery.next_attempt_at is not None
    return (delivery.next_attempt_at - timezone.now()).total_seconds()


def test_h6_ten_attempts_in_three_days_and_then_it_is_given_up_and_shown(
    delivery: WebhookDelivery, turn: Turn, receiver: Receiver
) -> None:
    """I15."""
    receiver.answers = [Answer(500)] * 10
    pauses = []

    while delivery.state == "pending":
        assert turn() == 1
        delivery.refresh_from_db()
        pauses += [_seconds_until(delivery)] if delivery.next_attempt_at else []

    wanted = RETRY_DELAYS_SECONDS[1:]
    assert [0.8 * full - 3 < pause <= 1.2 * full for pause, full in zip(pauses, wanted, strict=True)] == [True] * 9
    assert (delivery.state, delivery.detail, delivery.log.count()) == ("exhausted", "failed 10 times", 10)
    assert receiver.ids == [delivery.webhook_id] * 10


@pytest.mark.once
def test_the_pauses_are_scattered_and_a_longer_wish_wins() -> None:
    pauses = [outbox.retry_delay_seconds(1) for _ in range(200)]

    assert 4 <= min(pauses) < 4.5
    assert 5.5 < max(pauses) <= 6
    assert outbox.retry_delay_seconds(1, retry_after=60) == 60
    assert outbox.retry_delay_seconds(2, retry_after=60) > 60
    assert outbox.retry_delay_seconds(1, retry_after=10**9) == 86_400


def test_retry_after_is_honoured(delivery: WebhookDelivery, turn: Turn, receiver: Receiver) -> None:
    receiver.answers = [Answer(503, {"Retry-After": "900"})]

    turn()

    delivery.refresh_from_db()
    assert 890 < _seconds_until(delivery) <= 900


def test_410_switches_the_endpoint_off(delivery: WebhookDelivery, turn: Turn, receiver: Receiver) -> None:
    receiver.answers = [Answer(410)]

    turn()

    delivery.refresh_from_db()
    endpoint = delivery.endpoint
    assert endpoint is not None
    assert (delivery.state, endpoint.disabled_because) == ("exhausted", "It answered 410 Gone.")
    assert not outbox.resend(delivery)


def test_h6_who_has_failed_for_five_days_is_switched_off(
    delivery: WebhookDelivery, turn: Turn, receiver: Receiver
) -> None:
    receiver.answers = [Answer(500)] * 2
    endpoints = WebhookEndpoint.objects.filter(deliveries=delivery)
    endpoints.update(failing_since=timezone.now() - timedelta(days=4))
    turn()
    assert endpoints.get().is_enabled

    endpoints.update(failing_since=timezone.now() - timedelta(days=5, minutes=1))
    turn()

    assert endpoints.get().disabled_because == "It failed for 5 days."


def test_a_success_ends_a_time_of_failure(delivery: WebhookDelivery, turn: Turn, receiver: Receiver) -> None:
    receiver.answers = [Answer(500)]
    turn()

    turn()

    assert WebhookEndpoint.objects.get().failing_since is None


def test_to_an_endpoint_that_was_switched_off_nothing_is_sent(
    delivery: WebhookDelivery, turn: Turn, receiver: Receiver
) -> None:
    assert delivery.endpoint is not None
    endpoints.disable(delivery.endpoint, "test")

    turn()

    delivery.refresh_from_db()
    assert (delivery.state, receiver.got) == ("exhausted", [])


def test_sent_again_by_hand_it_keeps_its_id(delivery: WebhookDelivery, turn: Turn, receiver: Receiver) -> None:
    turn()

    assert outbox.resend(delivery)
    turn()

    delivery.refresh_from_db()
    assert receiver.ids == [delivery.webhook_id] * 2
    assert (delivery.state, delivery.tries, delivery.log.count()) == ("delivered", 2, 2)


# --- At least once ------------------------------------------------------------------------------------------------


def test_h8_a_worker_that_died_after_sending_sends_it_again_under_the_same_id(
    delivery: WebhookDelivery, turn: Turn, receiver: Receiver
) -> None:
    (taken,) = leases.claim(WebhookDelivery.objects.to_send(), limit=1, seconds=-1)
    notifier_module.post(payloads.build(taken, now=timezone.now()))

    turn()

    delivery.refresh_from_db()
    assert receiver.ids == [delivery.webhook_id] * 2
    assert delivery.state == "delivered"


def test_who_slept_through_the_lease_adds_to_the_log_alone(delivery: WebhookDelivery, turn: Turn) -> None:
    (sleeper,) = leases.claim(WebhookDelivery.objects.to_send(), limit=1, seconds=-1)
    turn()

    assert not outbox.record_attempt(sleeper, outbox.DeliveryAttempt(duration_ms=1, error="too late"))

    delivery.refresh_from_db()
    assert (delivery.state, delivery.log.count()) == ("delivered", 2)


def test_a_message_that_kills_its_senders_is_given_up(delivery: WebhookDelivery, notifier: Notifier) -> None:
    WebhookDelivery.objects.update(crashes=leases.CRASHES_MAX)

    notifier.run_once(limit=5)

    assert notifier.wait_until_idle(seconds_max=HANG_SECONDS)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.detail[:9]) == ("exhausted", "5 workers")


# --- Who waits for whom -------------------------------------------------------------------------------------------


def test_h4_a_silent_endpoint_keeps_no_other_customer_waiting(
    listen: Listen, notifier: Notifier, receiver: Receiver, bob: User
) -> None:
    receiver.may_answer.clear()
    silent = listen(receiver.url)
    for _ in range(50):
        outbox.enqueue(silent, WebhookType.COMPLETED, data={})
    with receiving() as prompt:
        taken = [notifier.run_once(limit=8)]
        outbox.send_test(listen(prompt.url, user=bob))

        # Not even the one place of this turn is kept for who has senders enough.
        taken += [notifier.run_once(limit=1), notifier.run_once(limit=8)]

        until(lambda: prompt.got, what="Bob's message")
        until(lambda: len(receiver.got) == notifier_module.THREADS_PER_ACCOUNT)
    assert taken == [notifier_module.THREADS_PER_ACCOUNT, 1, 0]
    receiver.may_answer.set()


def test_h4_without_a_customers_limit_his_silent_endpoint_takes_all_senders(
    listen: Listen, notifier: Notifier, receiver: Receiver, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr(notifier_module, "THREADS_PER_ACCOUNT", notifier_module.THREADS)
    receiver.may_answer.clear()
    silent = listen(receiver.url)
    for _ in range(notifier_module.THREADS):
        outbox.enqueue(silent, WebhookType.COMPLETED, data={})
    notifier.run_once(limit=notifier_module.THREADS)
    bobs = outbox.send_test(listen(receiver.url, user=bob))

    assert notifier.run_once(limit=8) == 0
    assert WebhookDelivery.objects.get(pk=bobs.pk).lease is None
    receiver.may_answer.set()


def test_what_is_due_later_waits(delivery: WebhookDelivery, notifier: Notifier) -> None:
    WebhookDelivery.objects.update(next_attempt_at=clock.from_now(60))
    assert notifier.run_once(limit=5) == 0

    WebhookDelivery.objects.update(next_attempt_at=Now())
    assert notifier.run_once(limit=5) == 1


# --- I15 ----------------------------------------------------------------------------------------------------------


def _i15() -> list[str]:
    return [finding.detail for finding in invariants.always() if finding.rule == "I15"]


def test_i15_what_is_told_and_what_is_given_up_is_well(delivery: WebhookDelivery, turn: Turn) -> None:
    turn()
    outbox.abandon(outbox.send_test(delivery.endpoint), "test")  # type: ignore[arg-type]

    assert _i15() == []


def test_i15_what_nobody_took_and_who_was_not_told_is_found(delivery: WebhookDelivery, failed: Ordering) -> None:
    WebhookDelivery.objects.update(state="delivered", next_attempt_at=None)
    failed()
    Generation.objects.update(webhook_url="https://example.com/")

    assert sorted(_i15()) == ["ended and its address is not told", "is delivered and nobody took it"]
