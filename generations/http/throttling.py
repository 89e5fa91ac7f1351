"""Limits how many requests per minute a user may send, over all keys, logins and processes.

DRF calls `UserThrottle` for every request below /api/. The count is a token bucket of `accounts`: one row. A process
takes several tokens at once and spends them locally, so that most requests write nothing. Tokens count when they are
taken, therefore the limit is never exceeded.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts import token_bucket, user_limits
from accounts.token_bucket import Rate
from database import best_effort

if TYPE_CHECKING:
    from rest_framework.views import APIView

# A process takes the tokens of one second at once: the limit per minute divided by this.
TAKES_PER_MINUTE = 60
# Tokens that are not spent within this time are lost to the user, so it is short.
KEPT_SECONDS = 5.0
# Bounds the memory. Beyond it the tokens of all users are dropped, which costs each of them one second's worth.
USERS_MAX = 10_000


class UserThrottle(BaseThrottle):
    """Answers 429 with Retry-After to a user who exceeds the limit. Anonymous requests are refused without it."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        self._wait_seconds = 0.0
        # None: the user has no limit.
        if request.user.is_authenticated and (rate := user_limits.request_rate_of(request.user)) is not None:
            self._wait_seconds = local_tokens.acquire(f"api:{request.user.pk}", rate)
        return self._wait_seconds == 0

    def wait(self) -> float:
        return self._wait_seconds


class LocalTokens:
    """Tokens that this process has taken from the shared buckets and not yet spent. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[int, float]] = {}
        """By bucket: how many, and until when they are valid."""

    def acquire(self, bucket: str, rate: Rate) -> float:
        """Spend one token. Returns 0 if there was one, otherwise the seconds until there will be one."""
        if self._spend(bucket):
            return 0
        count = rate.per_minute // TAKES_PER_MINUTE
        if count > 1 and _acquire_shared(bucket, rate, count) == 0:
            # One of the tokens is spent on this request.
            with self._lock:
                if len(self._tokens) >= USERS_MAX:
                    self._tokens.clear()
                already, _ = self._tokens.get(bucket, (0, 0.0))
                self._tokens[bucket] = (already + count - 1, time.monotonic() + KEPT_SECONDS)
            return 0
        # The bucket may have less than `count` tokens, but still one.
        wait_seconds = _acquire_shared(bucket, rate, 1)
        # Another thread may have taken several tokens in the meantime.
        return 0 if wait_seconds and self._spend(bucket) else wait_seconds

    def clear(self) -> None:
        """Forget all tokens. For tests."""
        with self._lock:
            self._tokens.clear()

    def _spend(self, bucket: str) -> bool:
        with self._lock:
            # Expired tokens are dropped, so that a user who pauses does not collect them.
            count, valid_until = self._tokens.pop(bucket, (0, 0.0))
            if not count or time.monotonic() > valid_until:
                return False
            if count > 1:
                self._tokens[bucket] = (count - 1, valid_until)
            return True


local_tokens = LocalTokens()


def _acquire_shared(bucket: str, rate: Rate, count: int) -> float:
    """Take tokens from the shared bucket. Returns 0 if it cannot be reached: no request fails because of it."""
    # SQLite has one writer at a time: a read must not wait for it.
    return best_effort.try_write(lambda: token_bucket.acquire(bucket, rate, count=count), default=0.0)
