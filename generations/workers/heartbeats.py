"""When each part of the background work was last seen alive."""

from datetime import timedelta

from django.db.models.functions import Now
from django.utils import timezone

from generations.models import Heartbeat


def beat(name: str) -> None:
    Heartbeat.objects.update_or_create(name=name, defaults={"seen_at": Now()})


def age(name: str) -> timedelta | None:
    """Time since it was last seen; None when it never was."""
    heartbeat = Heartbeat.objects.filter(name=name).first()
    return timezone.now() - heartbeat.seen_at if heartbeat else None


def turn(name: str, *, every: timedelta) -> bool:
    """Whether it is due; of several who ask at once, one hears yes. A turn counts as a beat."""
    if Heartbeat.objects.filter(name=name, seen_at__lte=Now() - every).update(seen_at=Now()):
        return True
    _, is_first = Heartbeat.objects.get_or_create(name=name, defaults={"seen_at": Now()})
    return is_first
