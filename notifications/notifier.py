"""The worker that sends webhooks. The loop of `manage.py work` calls `run_once`.

It hands due deliveries to a pool of threads and does not wait for them. At most a few threads serve one account, so an
endpoint that answers slowly, or never, delays neither other customers nor any generation.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic

from django.db import connection
from django.db.models import F, Min, QuerySet

from database import clock
from generations.jobs import failpoints, leases, parallel
from generations.jobs.retry_after import parse_retry_after
from generations.safe_http import client as http_client
from generations.safe_http import recipients
from generations.safe_http.errors import FetchError
from notifications import outbox, payloads
from notifications.models import WebhookDelivery
from notifications.outbox import DeliveryAttempt

logger = logging.getLogger(__name__)

# For the whole exchange, from the look-up of the host name on. A receiver should store the message, answer, and do its
# work afterwards.
SECONDS_MAX = 15
# Longer than any exchange takes, because it is not renewed.
LEASE_SECONDS = 60
ANSWER_BYTES_MAX = 1000
# The threads wait for other servers, and hold no connection to the database meanwhile.
THREADS = 24
THREADS_PER_ACCOUNT = 4
CLEANUP_INTERVAL_SECONDS = 600
# How many expired deliveries one clean-up deletes. While there are more, the next one does not wait for the interval.
CLEANUP_ROWS = 200


@dataclass
class Notifier:
    """Passes due deliveries to its threads."""

    _busy: Counter[int] = field(default_factory=Counter, init=False)
    """How many threads work for each account."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    """Guards `_busy`."""
    _cleaned_up_at: float = field(default=0.0, init=False)

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """Created on first use, because only `manage.py work` needs it."""
        return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="webhook")

    def run_once(self, *, limit: int) -> int:
        """Pass up to `limit` due deliveries to the threads, taking the accounts in turn. Return how many."""
        is_due = monotonic() - self._cleaned_up_at > CLEANUP_INTERVAL_SECONDS
        if is_due and outbox.delete_expired(limit=CLEANUP_ROWS) < CLEANUP_ROWS:
            self._cleaned_up_at = monotonic()
        outbox.check_low_credits(limit=limit)
        # An account whose threads are all busy is left out here, so that it does not use up the limit.
        with self._lock:
            fully_served = [account_id for account_id, count in self._busy.items() if count >= THREADS_PER_ACCOUNT]
        due = WebhookDelivery.objects.to_send().exclude(account__in=fully_served)
        # The account whose delivery has waited longest is first.
        # By an expression of the key: to group by the key itself, SQLite would read an index of all deliveries.
        by_account = due.order_by().values(receiver=F("account") + 0)
        oldest = by_account.annotate(first=Min("next_attempt_at")).order_by("first")
        started = 0
        for account_id in list(oldest.values_list("receiver", flat=True)[:limit]):
            started += self._start(account_id, limit - started)
        return started

    def _start(self, account_id: int, limit: int) -> int:
        """Claim deliveries of one account for the threads that are free, and start them. Returns how many."""
        with self._lock:
            free = min(THREADS - self._busy.total(), THREADS_PER_ACCOUNT - self._busy[account_id], limit)
        if free <= 0:
            return 0
        # Only as many as can be sent now. The lease of a delivery that waits for a thread would run out.
        due = WebhookDelivery.objects.to_send().filter(account=account_id)
        claimed = leases.claim(due, limit=free, seconds=LEASE_SECONDS)
        with self._lock:
            self._busy[account_id] += len(claimed)
        for delivery in claimed:
            self.pool.submit(self._work, delivery)
        return len(claimed)

    def _work(self, delivery: WebhookDelivery) -> None:
        try:
            parallel.run([delivery], send, give_up=give_up, lease_seconds=LEASE_SECONDS)
        finally:
            # Each thread has a connection of its own.
            connection.close()
            with self._lock:
                self._busy[delivery.account_id] -= 1
                self._busy += Counter()  # Removes the accounts with no thread.


_notifier = Notifier()


def due() -> QuerySet[WebhookDelivery]:
    """Return the deliveries that are due and that no worker holds."""
    return WebhookDelivery.objects.to_send()


def run_once(*, limit: int) -> int:
    """Start sending up to `limit` due deliveries. Returns how many."""
    return _notifier.run_once(limit=limit)


def send(delivery: WebhookDelivery) -> None:
    """Make one attempt to send a claimed delivery, and record its outcome. Only then is the lease released."""
    if delivery.endpoint is not None and not delivery.endpoint.is_enabled:
        outbox.abandon(delivery, "the endpoint is switched off or removed")
        return
    message = payloads.build(delivery, now=clock.now())
    # Waiting for another server needs no connection to the database.
    connection.close()
    attempt = post(message)
    failpoints.reach("webhook_sent")
    outbox.record_attempt(delivery, attempt)
    if not attempt.is_success:
        extra = {"delivery": str(delivery.pk), "status": attempt.status, "error": attempt.error}
        logger.info("a webhook was not delivered", extra=extra)


def give_up(delivery: WebhookDelivery) -> None:
    """Give up a claimed delivery that CRASHES_MAX workers in a row failed to send."""
    outbox.abandon(delivery, f"{delivery.crashes} workers in a row died or raised while they sent it")


def post(message: payloads.Message) -> DeliveryAttempt:
    """POST a message once. Never raises because of the receiver: what went wrong is in the outcome."""
    started_at = monotonic()
    try:
        response = http_client.post(
            message.url,
            message.body,
            headers=message.headers,
            loopback_allowed=recipients.loopback_allowed(),
            bytes_max=ANSWER_BYTES_MAX,
            seconds_max=SECONDS_MAX,
        )
    except FetchError as error:
        return DeliveryAttempt(duration_ms=_milliseconds_since(started_at), error=str(error))
    return DeliveryAttempt(
        duration_ms=_milliseconds_since(started_at),
        status=response.status,
        # PostgreSQL cannot store the character NUL.
        answer=response.beginning.decode(errors="replace").replace("\0", "�"),
        error="redirects are not followed" if 300 <= response.status < 400 else "",
        retry_after_seconds=parse_retry_after(response.retry_after, seconds_max=outbox.RETRY_AFTER_SECONDS_MAX),
    )


def _milliseconds_since(started_at: float) -> int:
    return int((monotonic() - started_at) * 1000)
