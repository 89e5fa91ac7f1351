"""Non-essential writes, such as the time at which an API key was last used.

They are worth a short wait, but a request that only reads must neither wait long for them nor fail because of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import Error, connection, transaction
from psycopg_pool import PoolTimeout

logger = logging.getLogger(__name__)

# Another writer holds a lock for a few milliseconds. A longer wait means that the database is busy.
WAIT_SECONDS_MAX = 0.25

Result = TypeVar("Result")


def try_write(write: Callable[[], Result], *, default: Result) -> Result:
    """Run a non-essential write in a transaction.

    Returns:
        What `write` returns, or `default` if it fails or waits for a lock for more than WAIT_SECONDS_MAX.

    Raises:
        django.db.Error, PoolTimeout: There is no connection to the database.
    """
    milliseconds = int(WAIT_SECONDS_MAX * 1000)
    try:
        with _sqlite_busy_timeout(milliseconds), transaction.atomic():
            if connection.vendor == "postgresql":
                # `true`: for this transaction only.
                _fetch_value(f"SELECT set_config('lock_timeout', '{milliseconds}ms', true)")
            return write()
    except (Error, PoolTimeout) as error:
        # Without a connection every later query of the request fails as well, and each waits as long for one. Raising
        # answers the request now.
        if connection.connection is None:
            raise
        logger.info("skipped a non-essential write", extra={"error": f"{error}"[:200]})
        return default


@contextmanager
def _sqlite_busy_timeout(milliseconds: int) -> Iterator[None]:
    """Limit how long SQLite waits for its only writer. It waits at BEGIN, so this surrounds the transaction."""
    if connection.vendor != "sqlite":
        yield
        return
    before = _fetch_value("PRAGMA busy_timeout")
    _fetch_value(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield
    finally:
        _fetch_value(f"PRAGMA busy_timeout = {int(before)}")


def _fetch_value(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]
