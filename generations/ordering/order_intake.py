"""The switch with which staff pause new orders. Generations that were ordered before continue.

The admin and `manage.py intake` pause and resume. `quotas` and `services` refuse orders while it is paused, and the
pages and the metrics show it. The state is one row, so it holds for all processes.
"""

from __future__ import annotations

import logging

from django.db.models.functions import Now

from generations.models import OrderIntake

logger = logging.getLogger(__name__)


def pause(reason: str = "") -> bool:
    """Accept no more orders. Returns False if they are paused already; the first reason remains."""
    OrderIntake.objects.get_or_create(id=1)
    paused = OrderIntake.objects.filter(paused_at=None).update(paused_at=Now(), reason=reason[:300]) == 1
    if paused:
        logger.warning("new orders are paused", extra={"reason": reason[:200]})
    return paused


def resume() -> bool:
    """Accept orders again. Returns False if they were not paused."""
    resumed = OrderIntake.objects.filter(paused_at__isnull=False).update(paused_at=None, reason="") == 1
    if resumed:
        logger.warning("new orders are accepted again")
    return resumed


def is_paused() -> bool:
    """Return whether new orders are paused."""
    return OrderIntake.objects.filter(paused_at__isnull=False).exists()


def state() -> str:
    """Return the state in words, for staff: "open", or "paused" with the reason."""
    # Without a row, orders have never been paused.
    return str(OrderIntake.objects.first() or "open")
