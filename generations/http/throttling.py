"""How often one customer may ask: by all keys and logins together, in all processes.

The state is one row (or, with REDIS_URL, one value in Redis). Not every request goes there: a process takes some
requests at once into its own hands, so that reading does not become writing. They count when they are taken.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts import redis_token_bucket, token_bucket, user_limits
from accounts.token_bucket import Rate
from database import best_effort
from generations.http import authentication

if TYPE_CHECKING:
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

# A process takes as many at once as may come in a second, and keeps them for so long.
AT_ONCE_PER_MINUTE = 60
KEPT_SECONDS = 5.0
# Beyond so many customers in one process, all of them begin anew; they lose a second's worth.
CUSTOMERS_MAX = 10_000


class UserThrottle(BaseThrottle):
    """429 with Retry-After, for who is logged in or has a key. Who is nobody gets nothing that costs anything."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        self._wait = 0.0
        if request.user.is_authenticated and (rate := user_limits.request_rate_of(request.user)) is not None:
            self._wait = in_hand.take(f"api:{request.user.pk}", rate)
        return self._wait == 0

    def wait(self) -> float:
        return self._wait


class InHand:
    """What this process has taken out of the buckets and not yet used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[str, tuple[int, float]] = {}

    def take(self, name: str, rate: Rate) -> float:
        """One request. 0 when it may come, else in how many seconds."""
        if self._use(name):
            return 0
        several = rate.per_minute // AT_ONCE_PER_MINUTE
        if several > 1 and _take(name, rate, several) == 0:
            self._keep(name, several - 1)
            return 0
        wait = _take(name, rate, 1)
        # Another thread may have taken some meanwhile.
        return 0 if wait and self._use(name) else wait

    def clear(self) -> None:
        with self._lock:
            self._left.clear()

    def _use(self, name: str) -> bool:
        with self._lock:
            count, until = self._left.pop(name, (0, 0.0))
            if not count or time.monotonic() > until:
                return False
            if count > 1:
                self._left[name] = (count - 1, until)
            return True

    def _keep(self, name: str, count: int) -> None:
        with self._lock:
            if len(self._left) >= CUSTOMERS_MAX:
                self._left.clear()
            already, _ = self._left.get(name, (0, 0.0))
            self._left[name] = (already + count, time.monotonic() + KEPT_SECONDS)


in_hand = InHand()


def _take(name: str, rate: Rate, count: int) -> float:
    """Whom we cannot count is let in: a database that is busy must not turn away who only wants to read."""
    if not settings.REDIS_URL:
        return best_effort.try_write(lambda: token_bucket.acquire(name, rate, count=count), default=0.0)
    try:
        return redis_token_bucket.acquire(_redis(settings.REDIS_URL), name, rate, count=count)
    except redis.RedisError as error:
        logger.warning("requests are not counted: Redis is away", extra={"error": f"{error}"[:200]})
        return 0.0


@lru_cache(maxsize=4)
def _redis(url: str) -> redis.Redis:
    patience = best_effort.WAIT_SECONDS_MAX
    return redis.Redis.from_url(url, socket_timeout=patience, socket_connect_timeout=patience)


# --- What the OpenAPI document says of it ---

RETRY_AFTER = {"description": "In how many seconds to ask again.", "schema": {"type": "integer", "minimum": 1}}


def document(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """drf-spectacular's hook: the scope that each operation needs, and Retry-After where it is promised."""
    for path, item in result["paths"].items():
        for method, operation in item.items():
            operation["x-scope"] = authentication.scope_for(method, path)
            for status in {"429", "503"} & set(operation["responses"]):
                operation["responses"][status].setdefault("headers", {})["Retry-After"] = RETRY_AFTER
    return result
