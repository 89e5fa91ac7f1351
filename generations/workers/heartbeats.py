"""Heartbeats: when each part of the background work was last seen. Health checks and metrics read them."""

from datetime import timedelta

from django.db.models.functions import Now
from django.utils import timezone

from generations.models import Heartbeat


def beat(name: str) -> None:
    """Records that `name` is alive now, by the database's clock."""
    Heartbeat.objects.update_or_create(name=name, defaults={"seen_at": Now()})


def age(name: str) -> timedelta | None:
    """The time since the last heartbeat of `name`; None if there was none."""
    heartbeat = Heartbeat.objects.filter(name=name).first()
    return timezone.now() - heartbeat.seen_at if heartbeat else None


def take_turn(name: str, *, every: timedelta) -> bool:
    """Whether periodic work is due. Of several processes that ask at once, one gets True, which is a heartbeat."""
    if Heartbeat.objects.filter(name=name, seen_at__lte=Now() - every).update(seen_at=Now()):
        return True
    _, is_first = Heartbeat.objects.get_or_create(name=name, defaults={"seen_at": Now()})
    return is_first
