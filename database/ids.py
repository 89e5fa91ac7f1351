"""Ids of rows, and random tokens.

Ids are UUIDv7 (RFC 9562), which begin with the time in milliseconds, by the database's clock. Rows that are created
together are therefore neighbours in an index, and the rows created since some moment are found by their ids alone.
"""

import secrets
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

from database import clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The version and the variant of a UUIDv7.
_MARKS = 7 << 76 | 2 << 62
_RANDOM_BITS = 62
# The time in 4096ths of a millisecond: 48 bits of milliseconds, and 12 bits that RFC 9562 permits for what is smaller.
_TICKS = 4096
# Ids sort by the order in which this process has made them, unless its time was set back by more than this.
_SET_BACK_TICKS_MAX = 1000 * _TICKS


class _Ticks:
    """The time by the database's clock, in ticks. No two calls return the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        now = (clock.last_known() - _EPOCH) // _MICROSECOND * _TICKS // 1000
        with self._lock:
            is_set_back = self._last - now >= _SET_BACK_TICKS_MAX
            self._last = now if is_set_back else max(now, self._last + 1)
            return self._last


_ticks = _Ticks()


def new_id() -> UUID:
    """Return a new UUIDv7: it sorts by creation time, and later ids cannot be guessed from earlier ones.

    It executes no statement, so it may be called where no connection is permitted.
    """
    milliseconds, fraction = divmod(_ticks.next(), _TICKS)
    return UUID(int=milliseconds << 80 | fraction << 64 | _MARKS | secrets.randbits(_RANDOM_BITS))


def first_id(moment: datetime) -> UUID:
    """Return the smallest UUIDv7 of a moment: rows created at or after `moment` have this id or a larger one."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def new_token() -> str:
    """Return a secret of 256 random bits that is safe in a URL (43 characters)."""
    return secrets.token_urlsafe(32)
