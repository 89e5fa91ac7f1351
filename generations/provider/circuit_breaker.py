"""The circuit breaker: open while fal refuses Limn's key or account.

While it is open, new orders are refused (`accepts_orders`) and queued generations wait. One of them is sent as a probe
every PROBE_SECONDS, to find out whether an operator has resolved it. If none is queued, a new order is accepted as the
probe.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, Subquery
from django.db.models.functions import Now

from database.time_scale import scaled
from generations.models import CircuitBreaker, Generation, GenerationQuerySet, Phase

logger = logging.getLogger(__name__)

# A probe is a real order and costs nothing extra. Probing more often does not help: an operator has to act first.
PROBE_SECONDS = scaled(30)


def is_open() -> bool:
    """Return whether fal refuses Limn's key or account."""
    return CircuitBreaker.objects.filter(opened_at__isnull=False).exists()


def trip(reason: str) -> None:
    """Open the breaker. Opening it again while it is open records only the time."""
    CircuitBreaker.objects.get_or_create(id=1)
    CircuitBreaker.objects.update(refused_at=Now())
    opened = CircuitBreaker.objects.filter(opened_at=None).update(opened_at=Now(), probed_at=Now(), reason=reason[:500])
    if opened:
        logger.error("circuit breaker opened: fal refuses the key or account", extra={"reason": reason[:200]})


def reset() -> None:
    """Close the breaker: fal accepts orders again, so every queued generation is due now."""
    if CircuitBreaker.objects.filter(opened_at__isnull=False).update(opened_at=None, reason=""):
        logger.warning("circuit breaker closed: fal accepts orders again")
        with transaction.atomic():
            # Those that another transaction changes at this moment keep their time, which is a minute away at most.
            # Waiting for one while others are locked could be a deadlock.
            queued = Generation.objects.filter(phase=Phase.QUEUED).select_for_update(skip_locked=True, no_key=True)
            Generation.objects.filter(pk__in=queued.values("pk")).update(next_attempt_at=Now())


def refused_since_deadline() -> GenerationQuerySet:
    """Return the queued generations whose deadline had passed when fal refused last. They need not be asked about."""
    refused_at = CircuitBreaker.objects.filter(opened_at__isnull=False).values("refused_at")[:1]
    return Generation.objects.in_progress().filter(phase=Phase.QUEUED, deadline_at__lte=Subquery(refused_at))


def take_probe() -> bool:
    """Take the turn to send one submission as a probe. False if one was sent within PROBE_SECONDS."""
    rested = Q(probed_at=None) | Q(probed_at__lt=Now() - timedelta(seconds=PROBE_SECONDS))
    return CircuitBreaker.objects.filter(rested, opened_at__isnull=False).update(probed_at=Now()) == 1


def accepts_orders() -> bool:
    """Return whether a new order is accepted. While open, one is, as the probe, if no generation is queued."""
    if not is_open():
        return True
    return not Generation.objects.filter(phase=Phase.QUEUED).exists() and take_probe()
