"""The event feed: all events of one account in a fixed order, read with a cursor (`GET /api/v1/events/`).

An event's id cannot be its position. Ids are assigned before the commit, so a reader who has seen 7 would miss a 6 that
commits a moment later. Instead, an event gets its number when the feed is first read that far: then it is committed,
and whatever commits later gets a higher number. Readers of one feed assign numbers one after another. The numbers are
stored with the events, so cursors stay valid when the database is restored on another server.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from credits.models import Account
from generations.models import Event
from notifications import endpoints
from notifications.models import Subscriber


@dataclass(frozen=True, kw_only=True)
class FeedPage:
    """A part of an event feed, oldest event first."""

    events: list[Event]
    after: int
    """The cursor of the next page: the number of the last event, or the requested cursor if there is no new event."""
    has_more: bool
    """Whether further events are available now."""


def read(account: Account, *, after: int, limit: int) -> FeedPage:
    """Return up to `limit` events of an account that follow the one with the number `after`."""
    # One more than requested shows whether there is a next page.
    found = _numbered(account, after, limit + 1)
    missing = limit + 1 - len(found)
    if missing > 0:
        with transaction.atomic():
            # The lock lets concurrent readers of this feed assign numbers one after another.
            subscriber = Subscriber.objects.select_for_update(no_key=True).get(pk=endpoints.subscriber_of(account).pk)
            unnumbered = Event.objects.filter(account=account, number=None).order_by("id")
            # In the order of their ids, as an erasure locks the events of its generation.
            new = list(unnumbered.select_for_update(no_key=True)[:missing])
            for number, event in enumerate(new, start=subscriber.last_event_number + 1):
                event.number = number
            if new:
                Event.objects.bulk_update(new, ["number"])
                subscriber.last_event_number += len(new)
                subscriber.save(update_fields=["last_event_number"])
        # Read again: a concurrent reader may have assigned numbers as well.
        found = _numbered(account, after, limit + 1)
    events = found[:limit]
    cursor = events[-1].number or after if events else after
    return FeedPage(events=events, after=cursor, has_more=len(found) > limit)


def _numbered(account: Account, after: int, limit: int) -> list[Event]:
    return list(Event.objects.filter(account=account, number__gt=after).order_by("number")[:limit])
