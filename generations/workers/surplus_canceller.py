"""Clears away what is left over: surplus jobs at fal are withdrawn before they cost more."""

from __future__ import annotations

import logging

from generations import lifecycle
from generations.fal import FalError
from generations.models import Submission
from generations.provider import clients

logger = logging.getLogger(__name__)


def run_once(*, limit: int) -> int:
    """Withdraw surplus jobs, at most `limit`. How many fal was told of."""
    surplus = list(Submission.objects.to_withdraw().order_by("pk")[:limit])
    return sum(map(_withdraw, surplus))


def _withdraw(submission: Submission) -> bool:
    try:
        clients.fal().cancel(submission.cancel_url)
    except FalError as error:
        logger.warning("a surplus job could not be withdrawn", extra={"error": f"{error}"[:200]})
        return False
    lifecycle.surplus_cancelled(submission)
    return True
