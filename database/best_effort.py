"""Non-essential writes, such as the time at which an API key was last used.

They are worth a short wait, but a request that only reads must neither wait long for them nor fail because of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from django.db import Error, connection, transaction
from psycopg_pool import PoolTimeout

from database import timeouts
from database.vendor import vendor

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
    is_sqlite = vendor() == "sqlite"
    try:
        # SQLite waits for its only writer at the beginning of the transaction.
        with timeouts.limited(WAIT_SECONDS_MAX) if is_sqlite else nullcontext(), transaction.atomic():
            if not is_sqlite:
                with connection.cursor() as cursor:
                    # `true`: for this transaction only.
                    cursor.execute(f"SELECT set_config('lock_timeout', '{int(WAIT_SECONDS_MAX * 1000)}ms', true)")
            return write()
    except (Error, PoolTimeout) as error:
        # Without a connection every later query of the request fails as well, and each waits as long for one. Raising
        # answers the request now.
        if connection.connection is None:
            raise
        logger.info("skipped a non-essential write", extra={"error": f"{error}"[:200]})
        return default
