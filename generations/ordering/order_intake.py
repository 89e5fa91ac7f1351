"""The switch that pauses all intake. What is under way goes on; nothing new is taken until somebody resumes."""

from __future__ import annotations

import logging

from django.db.models.functions import Now

from generations.models import OrderIntake

logger = logging.getLogger(__name__)


def pause(reason: str = "") -> bool:
    """Take no more orders. False when they are paused already; the first reason stays."""
    OrderIntake.objects.get_or_create(id=1)
    paused = OrderIntake.objects.filter(paused_at=None).update(paused_at=Now(), reason=reason[:300]) == 1
    if paused:
        logger.warning("intake is paused", extra={"reason": reason[:200]})
    return paused


def resume() -> bool:
    """Take orders again. False when they were taken all along."""
    resumed = OrderIntake.objects.filter(paused_at__isnull=False).update(paused_at=None, reason="") == 1
    if resumed:
        logger.warning("intake is resumed")
    return resumed


def is_paused() -> bool:
    return OrderIntake.objects.filter(paused_at__isnull=False).exists()
