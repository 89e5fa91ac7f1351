"""Writes beside the matter: wanted, but never so much that a reader waits for them or fails because of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import Error, connection, transaction
from psycopg_pool import PoolTimeout

logger = logging.getLogger(__name__)

# A writer is through in milliseconds. Who finds the way barred for longer goes on without.
WAIT_SECONDS_MAX = 0.25

Answer = TypeVar("Answer")


def try_write(write: Callable[[], Answer], *, default: Answer) -> Answer:
    """What `write` answers, in a transaction of its own; `default` when the database does not let us at once.

    Raises what says that the database is away."""
    try:
        with _impatient_sqlite(), transaction.atomic():
            _make_postgresql_impatient()
            return write()
    except (Error, PoolTimeout) as error:
        if connection.connection is None:
            # None can be had: the database is away, and whatever comes next would wait for it all over again.
            raise
        logger.info("a write beside the matter was left out", extra={"error": f"{error}"[:200]})
        return default


@contextmanager
def _impatient_sqlite() -> Iterator[None]:
    """SQLite's one writer is waited for at BEGIN, so this comes before it."""
    if connection.vendor != "sqlite":
        yield
        return
    before = _asked("PRAGMA busy_timeout")
    _asked(f"PRAGMA busy_timeout = {int(WAIT_SECONDS_MAX * 1000)}")
    try:
        yield
    finally:
        _asked(f"PRAGMA busy_timeout = {int(before)}")


def _make_postgresql_impatient() -> None:
    if connection.vendor == "postgresql":
        _asked(f"SELECT set_config('lock_timeout', '{int(WAIT_SECONDS_MAX * 1000)}ms', true)")


def _asked(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]
