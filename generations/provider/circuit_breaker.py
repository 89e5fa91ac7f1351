"""The breaker: open while fal refuses our key or account. Nobody orders what cannot be made; one probe at a time asks.

Intake stops (`intake_open`), queued orders wait, and every `PROBE_SECONDS` one of them is sent to see whether a person
has mended it. When the queue is empty, one new order is let in for that.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from database.time_scale import scaled
from generations.models import CircuitBreaker, Generation, Phase

logger = logging.getLogger(__name__)

# Each probe is a paid order if it succeeds, so it costs nothing extra; but fal need not hear us knock every second.
PROBE_SECONDS = scaled(30)


def is_open() -> bool:
    return CircuitBreaker.objects.filter(opened_at__isnull=False).exists()


def trip(reason: str) -> None:
    """fal refuses us. Opening it again while it is open changes nothing."""
    CircuitBreaker.objects.get_or_create(id=1)
    opened = CircuitBreaker.objects.filter(opened_at=None).update(opened_at=Now(), probed_at=Now(), reason=reason[:500])
    if opened:
        logger.error("fal refuses our key or account: intake is stopped", extra={"reason": reason[:200]})


def reset() -> None:
    """fal takes our orders again: whatever waits is due now."""
    if CircuitBreaker.objects.filter(opened_at__isnull=False).update(opened_at=None, reason=""):
        logger.warning("fal takes our orders again")
        Generation.objects.filter(phase=Phase.QUEUED).update(next_attempt_at=Now())


def may_probe() -> bool:
    """Whether this caller may send one order to see how things are. Of many who ask at once, one may."""
    rested = Q(probed_at=None) | Q(probed_at__lt=Now() - timedelta(seconds=PROBE_SECONDS))
    return CircuitBreaker.objects.filter(rested, opened_at__isnull=False).update(probed_at=Now()) == 1


def accepts_orders() -> bool:
    """Whether a new order is taken: always while closed; while open only as the probe of an empty queue."""
    if not is_open():
        return True
    return not Generation.objects.filter(phase=Phase.QUEUED).exists() and may_probe()
