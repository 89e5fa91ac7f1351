"""Sends webhooks. Its senders are its own, and a customer has only a few of them: one who answers slowly, or never,
keeps nobody else waiting, and no generation."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic

from django.db import connection
from django.db.models import Min
from django.utils import timezone

from generations.jobs import failpoints, leases
from generations.jobs.parallel import run
from generations.jobs.retry_after import parse_retry_after
from generations.safe_http import client as http_client
from generations.safe_http import recipients
from generations.safe_http.client import FetchError
from notifications import outbox, payloads
from notifications.models import WebhookDelivery
from notifications.outbox import DeliveryAttempt

logger = logging.getLogger(__name__)

# From the name's look-up to the last byte that we care to read. A receiver should take the message and think later.
SECONDS_MAX = 15
# Longer than any POST takes, names and all; renewed it is not.
LEASE_SECONDS = 60
ANSWER_BYTES_MAX = 1000
# They wait for others' networks and hold no connection to the database meanwhile.
SENDERS = 24
SENDERS_OF_ONE_CUSTOMER = 4
FORGET_EVERY_SECONDS = 600
FORGOTTEN_AT_ONCE = 1000


@dataclass
class Notifier:
    """Hands what is due to its senders, and waits for none of them."""

    _busy: Counter[int] = field(default_factory=Counter, init=False)
    """How many senders work for each account."""
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _forgot_at: float = field(default=0.0, init=False)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=SENDERS, thread_name_prefix="webhook")

    def run_once(self, *, limit: int) -> int:
        """Take on what is due, at most `limit`, each customer in turn. How many it took on."""
        self._forget()
        outbox.watch_credits(limit=limit)
        taken = 0
        for account_id in self._waiting(limit):
            taken += self._take_on(account_id, limit - taken)
        return taken

    def rest(self, *, seconds_max: float) -> bool:
        """Wait until nothing is being sent. False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy.total(), timeout=seconds_max)

    def _waiting(self, limit: int) -> list[int]:
        """Whose turn it is: the accounts with a message due and a sender left, the longest waiting first."""
        with self._changed:
            served = [account_id for account_id, count in self._busy.items() if count >= SENDERS_OF_ONE_CUSTOMER]
        due = WebhookDelivery.objects.to_send().exclude(account__in=served)
        first = due.order_by().values("account").annotate(first=Min("next_attempt_at")).order_by("first")
        return list(first.values_list("account", flat=True)[:limit])

    def _take_on(self, account_id: int, limit: int) -> int:
        with self._changed:
            room = min(SENDERS - self._busy.total(), SENDERS_OF_ONE_CUSTOMER - self._busy[account_id], limit)
        if room <= 0:
            return 0
        due = WebhookDelivery.objects.to_send().filter(account=account_id)
        rows = leases.claim(due, limit=room, seconds=LEASE_SECONDS)
        with self._changed:
            self._busy[account_id] += len(rows)
        for row in rows:
            self._pool.submit(self._work, row)
        return len(rows)

    def _work(self, delivery: WebhookDelivery) -> None:
        try:
            run([delivery], send, give_up=_give_up)
        finally:
            connection.close()
            with self._changed:
                self._busy[delivery.account_id] -= 1
                self._busy += Counter()  # Forgets the zeros.
                self._changed.notify_all()

    def _forget(self) -> None:
        if monotonic() - self._forgot_at > FORGET_EVERY_SECONDS:
            self._forgot_at = monotonic()
            outbox.forget_old(limit=FORGOTTEN_AT_ONCE)


_notifier = Notifier()


def run_once(*, limit: int) -> int:
    return _notifier.run_once(limit=limit)


def send(delivery: WebhookDelivery) -> None:
    """One attempt. Whatever becomes of it is noted, and only then is the message anybody else's."""
    endpoint = delivery.endpoint
    if endpoint is not None and not endpoint.is_listening:
        outbox.abandon(delivery, "the endpoint is switched off or removed")
        return
    message = payloads.write(delivery, now=timezone.now())
    # The wait for somebody else's server needs no connection of ours.
    connection.close()
    outcome = _post(message)
    failpoints.reach("told")
    outbox.record_attempt(delivery, outcome)
    if not outcome.is_success:
        extra = {"delivery": str(delivery.pk), "status": outcome.status, "error": outcome.error}
        logger.info("a webhook was not taken", extra=extra)


def _give_up(delivery: WebhookDelivery) -> None:
    outbox.abandon(delivery, f"{delivery.crashes} workers in a row died or stumbled over it")


def _post(message: payloads.Message) -> DeliveryAttempt:
    begun = monotonic()
    try:
        answer = http_client.post(
            message.url,
            message.body,
            headers=message.headers,
            loopback_allowed=recipients.loopback_allowed(),
            bytes_max=ANSWER_BYTES_MAX,
            seconds_max=SECONDS_MAX,
        )
    except FetchError as error:
        return DeliveryAttempt(duration_ms=_since(begun), error=str(error))
    return DeliveryAttempt(
        duration_ms=_since(begun),
        status=answer.status,
        answer=answer.beginning.decode(errors="replace").replace("\0", "�"),
        error="redirects are not followed" if 300 <= answer.status < 400 else "",
        retry_after_seconds=parse_retry_after(answer.retry_after, seconds_max=outbox.ASKED_SECONDS_MAX),
    )


def _since(begun: float) -> int:
    return int((monotonic() - begun) * 1000)
