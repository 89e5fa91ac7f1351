"""Sends mail, a few at once. Its waiting for a mail server keeps nobody else waiting."""

from __future__ import annotations

from generations.jobs import leases
from generations.jobs.parallel import run
from notifications import email
from notifications.models import Notice

# Longer than a mail server is given to answer, at each of its few steps.
LEASE_SECONDS = 120


def run_once(*, limit: int) -> int:
    """Send what is due, at most `limit`, batches that have ended among it. How many it took on."""
    email.gather(limit=limit)
    due = leases.claim(Notice.objects.to_send(), limit=limit, seconds=LEASE_SECONDS)
    return run(due, email.send, give_up=email.give_up)
