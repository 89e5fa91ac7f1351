"""The outbox: writes the webhook deliveries and e-mails of an event, and records what became of the deliveries.

`record` is registered with `generations.progress.event_hook`, which calls it with every event, in the transaction of
that event. So a notification is sent if, and only if, the event is committed. `notifier` sends the deliveries and
reports each attempt to `record_attempt`; `payloads` builds the messages, and `email` sends the e-mails. A delivery is
sent at least once, or given up visibly to its owner.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from credits.models import Account
from database import clock
from database.clock import from_now
from database.ids import new_id
from database.time_scale import scaled
from generations.models import Batch, Event, Generation
from notifications.models import (
    EmailNotification,
    Subscriber,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookType,
)

ENDINGS = {"completed": WebhookType.COMPLETED, "failed": WebhookType.FAILED}
NOTIFIED_FACTS = {**ENDINGS, **dict.fromkeys(("submitted", "progressed", "answered"), WebhookType.PROGRESSED)}
# The schedule that Standard Webhooks recommends: the pause before each attempt. Ten attempts in three days.
RETRY_DELAYS_SECONDS = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
# Spreads the retries of messages that failed at the same time.
JITTER = 0.2
# A longer Retry-After counts as this: a day is the longest pause of the schedule.
RETRY_AFTER_SECONDS_MAX = 86_400
# An endpoint that has failed for this long, whatever it was sent, is taken to be abandoned.
FAILING_MAX = timedelta(days=5)
RETENTION = timedelta(days=30)


# --- Events -------------------------------------------------------------------------------------------------------


def record(events: Sequence[Event], email_preference: str | None) -> None:
    """Write the notifications about events of one account, in their transaction. The listener of the event hook.

    Args:
        email_preference: What EMAIL_PREFERENCE reads.
    """
    notified = [event for event in events if event.fact in NOTIFIED_FACTS]
    held = sum(event.held_change for event in events if event.fact == "ordered")
    if held and email_preference is not None:
        # The order has just opened a hold, and its transaction has the lock of the account.
        _check_thresholds(events[0].account_id, held=held)
    if notified:
        _write_deliveries(notified, has_settings=email_preference is not None)
    if email_preference == Subscriber.EmailPreference.ALWAYS:
        _write_emails([event.generation for event in notified if event.fact in ENDINGS])


def _write_emails(ended: Sequence[Generation]) -> None:
    """Write the e-mails about generations that have ended."""
    alone = [generation for generation in ended if generation.batch_id is None]
    if alone:
        EmailNotification.objects.bulk_create(
            EmailNotification(account_id=generation.account_id, generation=generation, next_attempt_at=Now())
            for generation in alone
        )
    # A batch causes one e-mail, when it has ended (`email.collect_ended_batches`).
    if batches := {generation.batch_id for generation in ended if generation.batch_id is not None}:
        Batch.objects.filter(pk__in=batches, notify=False).update(notify=True)


def _write_deliveries(events: Sequence[Event], *, has_settings: bool) -> None:
    """Write one delivery of each event for each endpoint that receives its type, and one for the URL of its order.

    As many statements for the events of a batch as for one.

    Args:
        has_settings: Whether the account has notification settings, and so may have endpoints.
    """
    endpoints = WebhookEndpoint.objects.enabled().filter(account=events[0].account_id) if has_settings else ()
    deliveries: list[WebhookDelivery] = []
    # An account has at most ENDPOINTS_MAX, and SQLite cannot query the contents of a JSON list by an index.
    chosen = [(endpoint, endpoint.types) for endpoint in endpoints]
    for event in events:
        generation, kind = event.generation, NOTIFIED_FACTS[event.fact]
        recipients: list[dict[str, Any]] = [{"endpoint": endpoint} for endpoint, types in chosen if kind in types]
        if generation.webhook_url and kind != WebhookType.PROGRESSED:
            # The URL of an order is only notified of the end.
            recipients.append({"url": generation.webhook_url})
        # One id for all: the receivers of one event may compare what they got.
        message_id = new_id()
        deliveries += [
            WebhookDelivery(
                message_id=message_id,
                account_id=generation.account_id,
                type=kind,
                generation=generation,
                version=generation.version,
                data={"status": generation.status, "phase": generation.phase, "version": generation.version},
                next_attempt_at=Now(),
                **recipient,
            )
            for recipient in recipients
        ]
    if deliveries:
        WebhookDelivery.objects.bulk_create(deliveries)


# --- Low credits --------------------------------------------------------------------------------------------------


def check_low_credits(*, limit: int) -> int:
    """Write `credits.low` where credits crossed a threshold other than by an order, such as by a grant.

    Args:
        limit: How many accounts to handle.

    Returns:
        How many endpoints were updated.
    """
    below = Q(account__balance__lt=F("credits_low_at") + F("account__held"))
    crossed = WebhookEndpoint.objects.enabled().filter(below & Q(is_low=False) | ~below & Q(is_low=True))
    accounts = crossed.filter(credits_low_at__isnull=False).order_by("account").values_list("account", flat=True)
    updated = 0
    for account_id in accounts.distinct()[:limit]:
        with transaction.atomic():
            # The lock lets one of several workers that found the same crossing report it.
            Account.objects.select_for_update(no_key=True).get(pk=account_id)
            updated += _check_thresholds(account_id)
    return updated


def _check_thresholds(account_id: int, *, held: int = 0) -> int:
    """Compare the available credits with the thresholds of all endpoints. The caller has the lock of the account.

    Args:
        held: Credits that this transaction has held; before it, they were available.

    Returns:
        How many endpoints were updated.
    """
    endpoints = list(WebhookEndpoint.objects.enabled().filter(account=account_id, credits_low_at__isnull=False))
    if not endpoints:
        return 0
    available = Account.objects.get(pk=account_id).available
    return update_is_low(endpoints, available=available, held=held)


def update_is_low(endpoints: Sequence[WebhookEndpoint], *, available: int, held: int) -> int:
    """Store on which side of their thresholds endpoints are, and write `credits.low` for those that just fell below.

    As many statements for all endpoints of an account as for one.

    Returns:
        How many endpoints were updated. Arguments as for `_check_thresholds`.
    """
    changed: dict[bool, list[UUID]] = {True: [], False: []}
    deliveries: list[WebhookDelivery] = []
    for endpoint in endpoints:
        threshold = endpoint.credits_low_at or 0
        is_low = available < threshold
        # `is_low` alone is not enough: credits that were granted and spent since the last check have crossed twice.
        was_low = endpoint.is_low and available + held < threshold
        if is_low == was_low and is_low == endpoint.is_low:
            continue
        changed[is_low].append(endpoint.pk)
        if is_low and not was_low and WebhookType.CREDITS_LOW in endpoint.types:
            data = {"available": available, "threshold": threshold}
            deliveries.append(_new_delivery(endpoint, WebhookType.CREDITS_LOW, data=data))
    for is_low, keys in changed.items():
        if keys:
            WebhookEndpoint.objects.filter(pk__in=keys).update(is_low=is_low)
    if deliveries:
        WebhookDelivery.objects.bulk_create(deliveries)
    return sum(map(len, changed.values()))


# --- Deliveries without a generation, and resending ---------------------------------------------------------------


def enqueue(endpoint: WebhookEndpoint, kind: WebhookType, *, data: Mapping[str, object]) -> WebhookDelivery:
    """Write a delivery to one endpoint that is about no generation. `data` becomes the `data` of the message."""
    delivery = _new_delivery(endpoint, kind, data=data)
    delivery.save(force_insert=True)
    return delivery


def _new_delivery(endpoint: WebhookEndpoint, kind: WebhookType, *, data: Mapping[str, object]) -> WebhookDelivery:
    return WebhookDelivery(
        account_id=endpoint.account_id, endpoint=endpoint, type=kind, data=dict(data), next_attempt_at=Now()
    )


def send_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Write a test message. While one is pending, return that one, so that tests cannot flood another server."""
    # With the account: the index of its pending deliveries is short, whatever was sent before.
    waiting = WebhookDelivery.objects.filter(account=endpoint.account_id, state=WebhookDelivery.State.PENDING)
    pending = waiting.filter(endpoint=endpoint, type=WebhookType.TEST).first()
    return pending or enqueue(endpoint, WebhookType.TEST, data={"endpoint": str(endpoint.pk)})


def resend(delivery: WebhookDelivery) -> bool:
    """Make a delivery due now, whatever its state, under the same id. False if its endpoint is disabled or removed."""
    if delivery.endpoint is not None and not delivery.endpoint.is_enabled:
        return False
    # `tries` stays: after ten attempts, a delivery that fails again is given up again.
    changes = {"state": WebhookDelivery.State.PENDING, "next_attempt_at": Now(), "detail": ""}
    return WebhookDelivery.objects.filter(pk=delivery.pk).update(**changes) == 1


# --- Outcomes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt:
    """The outcome of one POST."""

    duration_ms: int
    status: int | None = None
    """The HTTP status; None if there was no response."""
    answer: str = ""
    """The beginning of the response body."""
    error: str = ""
    retry_after_seconds: float | None = None
    """From the Retry-After header of the response."""

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver says, with 410 Gone, that it wants no more messages."""
        return self.status == 410


@transaction.atomic
def record_attempt(delivery: WebhookDelivery, attempt: DeliveryAttempt) -> bool:
    """Record a delivery attempt and decide what follows: delivered, another attempt, or given up.

    Returns:
        False if the lease was lost; the attempt is still logged.
    """
    WebhookAttempt.objects.create(
        delivery=delivery,
        at=clock.now() - timedelta(milliseconds=attempt.duration_ms),
        status=attempt.status,
        duration_ms=attempt.duration_ms,
        answer=attempt.answer[:1000],
        error=attempt.error[:300],
    )
    # The log above is kept even if the lease is lost: the receiver has seen the message. `_release` decides the rest.
    exhausted = WebhookDelivery.State.EXHAUSTED
    tries = delivery.tries + 1
    if attempt.is_success:
        delivered = WebhookDelivery.State.DELIVERED
        changed = _release(delivery, state=delivered, next_attempt_at=None, tries=tries, delivered_at=Now())
    elif attempt.is_gone:
        detail = "410 Gone: the receiver wants no more messages"
        changed = _release(delivery, state=exhausted, next_attempt_at=None, tries=tries, detail=detail)
    elif tries >= len(RETRY_DELAYS_SECONDS):
        detail = f"failed {tries} times"
        changed = _release(delivery, state=exhausted, next_attempt_at=None, tries=tries, detail=detail)
    else:
        delay = retry_delay_seconds(tries, retry_after=attempt.retry_after_seconds)
        changed = _release(delivery, tries=tries, next_attempt_at=from_now(delay))
    _update_endpoint(delivery, attempt)
    return changed


def retry_delay_seconds(tries: int, *, retry_after: float | None = None) -> float:
    """Return the pause after `tries` failed attempts, in seconds; the receiver's Retry-After if that is longer."""
    delay = scaled(RETRY_DELAYS_SECONDS[tries]) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (no secret)
    return max(delay, min(retry_after or 0.0, RETRY_AFTER_SECONDS_MAX))


def abandon(delivery: WebhookDelivery, reason: str) -> bool:
    """Give up a claimed delivery that cannot be sent. Returns False if the lease was lost."""
    return _release(delivery, state=WebhookDelivery.State.EXHAUSTED, next_attempt_at=None, detail=reason[:200])


def _release(delivery: WebhookDelivery, **changes: object) -> bool:
    """Write the changes and release the lease. False if the lease is lost, and with it the right to write."""
    held = WebhookDelivery.objects.filter(pk=delivery.pk, lease=delivery.lease)
    return held.update(lease=None, leased_until=None, crashes=0, **changes) == 1


def _update_endpoint(delivery: WebhookDelivery, attempt: DeliveryAttempt) -> None:
    """Record whether the endpoint works, and disable one that answered 410 Gone or has failed for FAILING_MAX."""
    if delivery.endpoint_id is None:
        # It went to the URL of an order, which nothing is known about.
        return
    endpoint = WebhookEndpoint.objects.filter(pk=delivery.endpoint_id)
    if attempt.is_success:
        endpoint.filter(failing_since__isnull=False).update(failing_since=None)
        return
    endpoint.filter(failing_since=None).update(failing_since=Now())
    if attempt.is_gone:
        reason = "It answered 410 Gone."
    else:
        reason = "It failed for 5 days."
        endpoint = endpoint.filter(failing_since__lt=from_now(-FAILING_MAX.total_seconds()))
    # One of several concurrent attempts changes the row, and that one writes the e-mail.
    if not endpoint.filter(disabled_at=None, deleted_at=None).update(disabled_at=Now(), disabled_because=reason):
        return
    # The page of notifications shows it in any case.
    wants_email = Subscriber.objects.filter(
        account=delivery.account_id, email_preference=Subscriber.EmailPreference.ALWAYS
    )
    if wants_email.exists():
        EmailNotification.objects.create(
            account_id=delivery.account_id, endpoint_id=delivery.endpoint_id, next_attempt_at=Now()
        )


# --- Retention ----------------------------------------------------------------------------------------------------


def delete_expired(*, limit: int) -> int:
    """Delete up to `limit` ended deliveries that are older than RETENTION, with their attempts. Return how many."""
    # Pending ones stay, however old: they are still to be sent.
    ended = WebhookDelivery.objects.exclude(state=WebhookDelivery.State.PENDING)
    # In the order of the index of `happened_at`: by the primary key, the database would read every delivery.
    expired = ended.filter(happened_at__lt=clock.now() - RETENTION).order_by("happened_at")
    with transaction.atomic():
        # Another worker deletes them at the same time, or has just made one due again.
        unlocked = expired.select_for_update(skip_locked=True, no_key=True)
        keys = list(unlocked.values_list("pk", flat=True)[:limit])
        WebhookDelivery.objects.filter(pk__in=keys).delete()
    return len(keys)
