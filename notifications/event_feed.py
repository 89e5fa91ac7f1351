"""A customer's events in one line, each with a number, so that a program can ask what happened since it last asked.

Ids will not do: they are given before the commit, so a reader who has seen 7 would step over a 6 that commits a moment
later. So an event gets its number when the feed is first read so far: by then it is committed, and whatever commits
later gets a higher one. Readers of one feed number in turn. Nothing of this lives in one server's transaction counter,
so a database may be restored elsewhere and every cursor still holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from credits.models import Account
from generations.models import Event
from notifications import endpoints
from notifications.models import Subscriber


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Part of a feed, oldest first."""

    events: list[Event]
    after: int
    """Where to go on: the number of the last event, or what was asked when nothing is new."""
    more: bool
    """Whether something is waiting already."""


def read(account: Account, *, after: int, limit: int) -> Stretch:
    """Up to `limit` events of this customer behind the one with the number `after`."""
    found = _numbered(account, after, limit + 1)
    if len(found) <= limit:
        _number(account, count=limit + 1 - len(found))
        found = _numbered(account, after, limit + 1)
    events = found[:limit]
    return Stretch(events=events, after=events[-1].number or after if events else after, more=len(found) > limit)


def _numbered(account: Account, after: int, limit: int) -> list[Event]:
    return list(Event.objects.filter(account=account, number__gt=after).order_by("number")[:limit])


@transaction.atomic
def _number(account: Account, *, count: int) -> None:
    subscriber = Subscriber.objects.select_for_update().get(pk=endpoints.of(account).pk)
    fresh = list(Event.objects.filter(account=account, number=None).order_by("id")[:count])
    if not fresh:
        return
    for number, event in enumerate(fresh, start=subscriber.events_numbered + 1):
        event.number = number
    Event.objects.bulk_update(fresh, ["number"])
    subscriber.events_numbered += len(fresh)
    subscriber.save(update_fields=["events_numbered"])
