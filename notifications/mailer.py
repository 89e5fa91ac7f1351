"""The worker that sends e-mails, several at once. The loop of `manage.py work` calls `run_once`.

It runs in a thread of its own, so a slow mail server delays neither webhooks nor generations.
"""

from __future__ import annotations

from django.db.models import QuerySet

from generations.jobs import leases, parallel
from notifications import email
from notifications.models import EmailNotification

# Longer than a mail server has to answer each of the few steps of a delivery.
LEASE_SECONDS = 120


def due() -> QuerySet[EmailNotification]:
    """Return the rows that are due and that no worker holds."""
    return leases.unleased(EmailNotification.objects.to_send())


def run_once(*, limit: int) -> int:
    """Send up to `limit` due e-mails, including those about batches that have just ended. Return how many."""
    email.collect_ended_batches(limit=limit)
    due = leases.claim(EmailNotification.objects.to_send(), limit=limit, seconds=LEASE_SECONDS)
    return parallel.run(due, email.send, give_up=email.give_up, lease_seconds=LEASE_SECONDS)
