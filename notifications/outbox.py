"""What is to be told to customers, written down in the transaction of what happened: told if, and only if, it has.

The lifecycle calls `post` with each line of the timeline. For a customer who wants to hear nothing that is one question
by an index. Who sends, and what a message says, is no matter here (`workers.notifier`, `messages`, `notices`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from credits.models import Account
from database.clock import from_now
from database.ids import new_id
from database.time_scale import scaled
from generations.models import Batch, Event, Generation
from notifications.models import Notice, Subscriber, WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookType

ENDINGS = {"completed": WebhookType.COMPLETED, "failed": WebhookType.FAILED}
NOTIFIED_FACTS = {**ENDINGS, **dict.fromkeys(("submitted", "progressed", "answered"), WebhookType.PROGRESSED)}
# Standard Webhooks' own schedule: each is the pause before an attempt. Ten attempts in three days.
PAUSES_SECONDS = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
# Who asks for a longer pause than our longest has no use for the message.
ASKED_SECONDS_MAX = 86_400
# An address that has failed for so long, whatever it was sent, is nobody's any more.
FAILING_MAX = timedelta(days=5)
KEPT = timedelta(days=30)


# --- What happened ------------------------------------------------------------------------------------------------


def record(generation: Generation, event: Event) -> None:
    """The lifecycle's event listener: writes down who is notified of this event, in the event's own transaction."""
    fact = event.fact
    if fact not in NOTIFIED_FACTS and fact != "ordered":
        return
    # An account that wants no notifications costs this one query by an index.
    subscriber = Subscriber.objects.filter(account=generation.account_id).first()
    if subscriber is not None and fact == "ordered":
        _watch_credits(generation.account_id, spent=event.held_change)
    elif fact in NOTIFIED_FACTS:
        _post_webhooks(generation, NOTIFIED_FACTS[fact], has_endpoints=subscriber is not None)
        if fact in ENDINGS and subscriber is not None and subscriber.mail == Subscriber.Mail.ALWAYS:
            _post_mail(generation)


def _post_webhooks(generation: Generation, kind: WebhookType, *, has_endpoints: bool) -> None:
    message = new_id()
    ours = listening(generation.account_id, kind) if has_endpoints else []
    rows = [_about(generation, kind, message, endpoint=endpoint) for endpoint in ours]
    if generation.webhook_url and kind != WebhookType.PROGRESSED:
        rows.append(_about(generation, kind, message, url=generation.webhook_url))
    if rows:
        WebhookDelivery.objects.bulk_create(rows)


def _about(
    generation: Generation, kind: WebhookType, message: UUID, *, endpoint: WebhookEndpoint | None = None, url: str = ""
) -> WebhookDelivery:
    return WebhookDelivery(
        message=message,
        account_id=generation.account_id,
        endpoint=endpoint,
        url=url,
        type=kind,
        generation=generation,
        version=generation.version,
        data={"status": generation.status, "phase": generation.phase, "version": generation.version},
        next_attempt_at=Now(),
    )


def listening(account_id: int, kind: WebhookType) -> list[WebhookEndpoint]:
    # A customer has at most a handful, so their types are looked at here and not by the database.
    endpoints = WebhookEndpoint.objects.listening().filter(account=account_id)
    return [endpoint for endpoint in endpoints if kind in endpoint.types]


def _post_mail(generation: Generation) -> None:
    if generation.batch_id is not None:
        # One mail for the whole: who wants to hear of everything wants to hear of this batch.
        Batch.objects.filter(pk=generation.batch_id, notify=False).update(notify=True)
    else:
        Notice.objects.create(account_id=generation.account_id, generation=generation, next_attempt_at=Now())


# --- Credits that run low -----------------------------------------------------------------------------------------


def watch_credits(*, limit: int) -> int:
    """Look whose credits have crossed a threshold by other ways than an order. How many endpoints changed sides."""
    below = Q(account__balance__lt=F("credits_low_at") + F("account__held"))
    crossed = WebhookEndpoint.objects.listening().filter(below & Q(is_low=False) | ~below & Q(is_low=True))
    accounts = crossed.filter(credits_low_at__isnull=False).order_by("account").values_list("account", flat=True)
    return sum(_look(account_id) for account_id in accounts.distinct()[:limit])


@transaction.atomic
def _look(account_id: int) -> int:
    # Whoever changes the account waits here, so that of two who see one crossing, one tells it.
    Account.objects.select_for_update().get(pk=account_id)
    return _watch_credits(account_id)


def _watch_credits(account_id: int, *, spent: int = 0) -> int:
    """The caller holds the account's row. `spent`: what has just been set aside; before that, there was more."""
    endpoints = WebhookEndpoint.objects.listening().filter(account=account_id, credits_low_at__isnull=False)
    watching = list(endpoints)
    if not watching:
        return 0
    available = Account.objects.get(pk=account_id).available
    return sum(_cross(endpoint, available, spent) for endpoint in watching)


def _cross(endpoint: WebhookEndpoint, available: int, spent: int) -> bool:
    threshold = endpoint.credits_low_at or 0
    is_low = available < threshold
    # Granted and spent again before anybody looked: low as it was, and a new crossing all the same.
    was_low = endpoint.is_low and available + spent < threshold
    if is_low == was_low and is_low == endpoint.is_low:
        return False
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(is_low=is_low)
    if is_low and not was_low and WebhookType.CREDITS_LOW in endpoint.types:
        data = {"available": available, "threshold": threshold}
        _to(endpoint, WebhookType.CREDITS_LOW, data=data)
    return True


# --- By hand ------------------------------------------------------------------------------------------------------


def test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """A message that says nothing. While one is under way it is that one: a button is no means to knock elsewhere."""
    under_way = endpoint.deliveries.filter(type=WebhookType.TEST, state=WebhookDelivery.State.PENDING).first()
    return under_way or _to(endpoint, WebhookType.TEST, data={"endpoint": str(endpoint.pk)})


def _to(endpoint: WebhookEndpoint, kind: WebhookType, *, data: Mapping[str, object]) -> WebhookDelivery:
    return WebhookDelivery.objects.create(
        account_id=endpoint.account_id, endpoint=endpoint, type=kind, data=dict(data), next_attempt_at=Now()
    )


def resend(delivery: WebhookDelivery) -> bool:
    """The same message, under the same id, now. False when its endpoint hears nothing any more."""
    if delivery.endpoint is not None and not delivery.endpoint.is_listening:
        return False
    changes = {"state": WebhookDelivery.State.PENDING, "next_attempt_at": Now(), "detail": ""}
    return WebhookDelivery.objects.filter(pk=delivery.pk).update(**changes) == 1


# --- What came of it ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt:
    """The outcome of one POST."""

    duration_ms: int
    status: int | None = None
    answer: str = ""
    error: str = ""
    retry_after_seconds: float | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """410: the address wants nothing any more."""
        return self.status == 410


@transaction.atomic
def record_attempt(delivery: WebhookDelivery, outcome: DeliveryAttempt) -> bool:
    """Note what an attempt came to. False when the lease is somebody else's by now: then the log alone grows."""
    WebhookAttempt.objects.create(
        delivery=delivery,
        at=timezone.now() - timedelta(milliseconds=outcome.duration_ms),
        status=outcome.status,
        duration_ms=outcome.duration_ms,
        answer=outcome.answer[:1000],
        error=outcome.error[:300],
    )
    if outcome.is_success:
        moved = _end(delivery, WebhookDelivery.State.DELIVERED, tries=F("tries") + 1, delivered_at=Now())
    else:
        moved = _failed(delivery, outcome)
    _mark_endpoint(delivery, outcome)
    return moved


def _failed(delivery: WebhookDelivery, outcome: DeliveryAttempt) -> bool:
    tries = delivery.tries + 1
    if outcome.is_gone:
        return _end(delivery, WebhookDelivery.State.EXHAUSTED, tries=tries, detail="410: the address wants no more")
    if tries >= len(PAUSES_SECONDS):
        return _end(delivery, WebhookDelivery.State.EXHAUSTED, tries=tries, detail=f"failed {tries} times")
    wait = pause_seconds(tries, asked=outcome.retry_after_seconds)
    return _put_back(delivery, tries=tries, next_attempt_at=from_now(wait))


def pause_seconds(tries: int, *, asked: float | None = None) -> float:
    """How long to wait after so many failures, in seconds. A longer wish of the other side (Retry-After) wins."""
    pause = scaled(PAUSES_SECONDS[tries]) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (no secret)
    return max(pause, min(asked or 0.0, ASKED_SECONDS_MAX))


def abandon(delivery: WebhookDelivery, why: str) -> bool:
    """It will not be sent: nobody listens there any more, or it kills whoever sends it."""
    return _end(delivery, WebhookDelivery.State.EXHAUSTED, detail=why[:200])


def _end(delivery: WebhookDelivery, state: WebhookDelivery.State, **changes: object) -> bool:
    return _put_back(delivery, state=state, next_attempt_at=None, **changes)


def _put_back(delivery: WebhookDelivery, **changes: object) -> bool:
    mine = WebhookDelivery.objects.filter(pk=delivery.pk, lease=delivery.lease)
    return mine.update(lease=None, leased_until=None, crashes=0, **changes) == 1


def _mark_endpoint(delivery: WebhookDelivery, outcome: DeliveryAttempt) -> None:
    if delivery.endpoint_id is None:
        return
    endpoint = WebhookEndpoint.objects.filter(pk=delivery.endpoint_id)
    if outcome.is_success:
        endpoint.filter(failing_since__isnull=False).update(failing_since=None)
        return
    endpoint.filter(failing_since=None).update(failing_since=Now())
    if outcome.is_gone:
        _switch_off(endpoint, "It answered 410 Gone.")
    else:
        _switch_off(endpoint.filter(failing_since__lt=from_now(-FAILING_MAX.total_seconds())), "It failed for 5 days.")


def _switch_off(endpoints: QuerySet[WebhookEndpoint], why: str) -> None:
    for endpoint in endpoints.filter(disabled_at=None, deleted_at=None):
        still_on = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at=None)
        if still_on.update(disabled_at=Now(), disabled_because=why):
            _tell_of(endpoint)


def _tell_of(endpoint: WebhookEndpoint) -> None:
    """Its pages say so in any case; a mail goes to who wants mail about everything."""
    if Subscriber.objects.filter(account=endpoint.account_id, mail=Subscriber.Mail.ALWAYS).exists():
        Notice.objects.create(account_id=endpoint.account_id, endpoint=endpoint, next_attempt_at=Now())


# --- Clearing away ------------------------------------------------------------------------------------------------


def forget_old(*, limit: int) -> int:
    """Delete what ended a month ago, log and all. How many."""
    ended = WebhookDelivery.objects.exclude(state=WebhookDelivery.State.PENDING)
    old = list(ended.filter(happened_at__lt=timezone.now() - KEPT).values_list("pk", flat=True)[:limit])
    WebhookDelivery.objects.filter(pk__in=old).delete()
    return len(old)
