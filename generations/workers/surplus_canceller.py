"""Cancels surplus jobs at fal: a second job for one generation, which the operator would pay for.

The loop of `manage.py work` calls `run_once`. Customers are not affected: the first answer counts, and they pay once.
"""

from __future__ import annotations

import logging

from django.db.models import QuerySet

from generations import lifecycle
from generations.fal import FalError
from generations.models import Submission
from generations.provider import clients

logger = logging.getLogger(__name__)


def due() -> QuerySet[Submission]:
    """Return the surplus jobs that fal has not been asked to cancel yet."""
    return Submission.objects.to_cancel_surplus()


def run_once(*, limit: int) -> int:
    """Ask fal to cancel up to `limit` surplus jobs. Returns how many of the requests fal answered."""
    cancelled = 0
    surplus = Submission.objects.to_cancel_surplus().select_related("generation").order_by("pk")
    for submission in list(surplus[:limit]):
        try:
            clients.fal().cancel(clients.receipt_of(submission).cancel_url)
        except FalError as error:
            logger.warning("a surplus job could not be cancelled", extra={"error": f"{error}"[:200]})
            continue
        lifecycle.surplus_cancelled(submission)
        cancelled += 1
    return cancelled
