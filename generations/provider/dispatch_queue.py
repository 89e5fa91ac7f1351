"""How much we may ask of fal, and whose turn it is.

fal is sent at most FAL_REQUESTS_PER_MINUTE orders a minute, and FAL_REQUESTS_BURST at once after a rest, by all
processes together. What is over it waits as a row, and accounts take turns: whoever was served longest ago is next,
so an order of two hundred keeps nobody waiting for more than one of its own.
"""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.db.models import Case, F, Value, When, Window
from django.db.models.functions import Now, RowNumber

from accounts import token_bucket
from accounts.token_bucket import Rate
from generations.jobs import leases
from generations.models import Generation, GenerationQuerySet, LastServed

BUCKET = "fal"
# Several workers look at the same line. Each finds somebody there whom the others have not taken.
LOOKED_AT = 4


def available() -> int:
    """How many orders fal may be sent now."""
    return token_bucket.available(BUCKET, _rate())


def acquire(generation: Generation) -> bool:
    """Whether it may be sent now. To be asked in the transaction that notes the attempt: both are there, or neither."""
    if token_bucket.acquire(BUCKET, _rate()) > 0:
        return False
    LastServed.objects.update_or_create(account_id=generation.account_id, defaults={"served_at": Now()})
    return True


def has_room_for(generation: Generation) -> bool:
    """Whether it may go now, past the line: if there is enough for everybody who is already in it."""
    room = available()
    return Generation.objects.to_submit().exclude(pk=generation.pk)[:room].count() < room


def claim_round_robin(due: GenerationQuerySet, *, limit: int, seconds: float) -> list[Generation]:
    """Lease up to `limit` of what is due: everybody's first, then everybody's second, and so on."""
    line = _line(due, limit * LOOKED_AT)
    if not line:
        return []
    place = Case(*(When(pk=key, then=Value(number)) for number, key in enumerate(line)))
    return leases.claim(due.filter(pk__in=line), limit=limit, seconds=seconds, order_by=(place,))


def _line(due: GenerationQuerySet, length: int) -> list[UUID]:
    # Read without locks, which PostgreSQL does not know beside window functions; `leases.claim` takes them.
    nth = Window(RowNumber(), partition_by=F("account"), order_by=("next_attempt_at", "pk"))
    served = F("account__last_served__served_at").asc(nulls_first=True)
    waiting = leases.unleased(due).annotate(nth=nth).order_by("nth", served, "next_attempt_at", "pk")
    return list(waiting.values_list("pk", flat=True)[:length])


def _rate() -> Rate:
    return Rate(per_minute=settings.FAL_REQUESTS_PER_MINUTE, burst=settings.FAL_REQUESTS_BURST)
