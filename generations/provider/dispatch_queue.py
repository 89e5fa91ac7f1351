"""How much fal is sent, and which account is next.

All processes together send fal at most FAL_REQUESTS_PER_MINUTE submissions a minute, and FAL_REQUESTS_BURST at once
after a pause. What is over the limit waits as a row, and accounts take turns (round robin): a batch of 200 orders
delays every other account by one submission at most.
"""

from __future__ import annotations

from django.conf import settings
from django.db.models import Case, F, Value, When, Window
from django.db.models.functions import RowNumber

from accounts import token_bucket
from accounts.token_bucket import Rate
from database import clock
from database.statements import Write, to_database
from generations.jobs import leases
from generations.models import Generation, GenerationQuerySet

BUCKET = "fal"
# Several workers read the same queue. With this many candidates for each row wanted, each finds free ones.
CANDIDATES_PER_ROW = 4


class RateLimitReached(Exception):
    """fal has been sent as much as it may be. Rolls the transaction back."""


def available() -> int:
    """Return how many submissions fal may be sent now."""
    return token_bucket.available(BUCKET, _rate())


def acquire() -> None:
    """Take one submission out of the rate limit. Raises RateLimitReached.

    It is the last statement of the transaction that records the submission: both are committed or neither is, and the
    row that all submissions of all customers need is locked only for the time of the commit. The transaction has begun
    within `foreign_keys_checked_at_once`, so that its commit waits for nothing.
    """
    if token_bucket.acquire(BUCKET, _rate()) != 0:
        raise RateLimitReached


def served(account_id: int) -> Write:
    """Return the write that records that a submission of the account was sent now, so that it is another one's turn."""
    now = to_database(clock.now())
    sql = """
        INSERT INTO generations_lastserved (account_id, served_at) VALUES (%s, %s)
        ON CONFLICT (account_id) DO UPDATE SET served_at = EXCLUDED.served_at RETURNING account_id"""
    return Write(sql, [account_id, now])


def claim_round_robin(due: GenerationQuerySet, *, limit: int, seconds: float) -> list[Generation]:
    """Lease up to `limit` generations of `due` for `seconds`: each account's first, then each one's second, and so on.

    Among equals the account that was served longest ago comes first.
    """
    # Read without locks, since PostgreSQL does not lock rows of a window function; `leases.claim` locks them.
    nth = Window(RowNumber(), partition_by=F("account"), order_by=("next_attempt_at", "pk"))
    served = F("account__last_served__served_at").asc(nulls_first=True)
    waiting = leases.unleased(due).annotate(nth=nth).order_by("nth", served, "next_attempt_at", "pk")
    queue = list(waiting.values_list("pk", flat=True)[: limit * CANDIDATES_PER_ROW])
    if not queue:
        return []
    position = Case(*(When(pk=key, then=Value(number)) for number, key in enumerate(queue)))
    return leases.claim(due.filter(pk__in=queue), limit=limit, seconds=seconds, order_by=(position,))


def _rate() -> Rate:
    return Rate(per_minute=settings.FAL_REQUESTS_PER_MINUTE, burst=settings.FAL_REQUESTS_BURST)
