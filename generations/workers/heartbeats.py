"""Heartbeats: when each part of the background work was last seen. Health checks and metrics read them."""

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from database import clock
from generations.models import Heartbeat


def beat(*names: str) -> None:
    """Record that all `names` are alive now, by the database's clock. One statement."""
    # Sorted, so that two processes lock the rows in the same order.
    beats = [Heartbeat(name=name, seen_at=Now()) for name in sorted(names)]
    Heartbeat.objects.bulk_create(beats, update_conflicts=True, unique_fields=["name"], update_fields=["seen_at"])


def age(name: str) -> timedelta | None:
    """Return the time since the last heartbeat of `name`; None if there was none."""
    heartbeat = Heartbeat.objects.filter(name=name).first()
    return clock.now() - heartbeat.seen_at if heartbeat else None


def ages(names: Iterable[str]) -> dict[str, timedelta]:
    """Return the time since the last heartbeat of each name that ever had one, by the database's clock. One query."""
    silence = ExpressionWrapper(Now() - F("seen_at"), output_field=DurationField())
    return dict(Heartbeat.objects.filter(name__in=list(names)).values_list("name", silence))


def take_turn(name: str, *, every: timedelta) -> bool:
    """Record a heartbeat if the last one is older than `every`. Returns whether it was.

    Of several processes that call it at once, one gets True and does the periodic work.
    """
    if Heartbeat.objects.filter(name=name, seen_at__lte=Now() - every).update(seen_at=Now()):
        return True
    _, is_first = Heartbeat.objects.get_or_create(name=name, defaults={"seen_at": Now()})
    return is_first
