"""How long a request waits for the database. Its caller hears 503 within five seconds, whatever the database does.

A locked row or a slow statement is ended by PostgreSQL itself. A server that is stopped or cut off ends nothing, so
the connection counts the time that it waits. Workers have no caller, and wait as long as the server lets them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from django.db import connection
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from psycopg_pool import PoolTimeout

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

# In all statements of one request together. PostgreSQL gives up on a lock before, and the pool's wait comes on top.
REQUEST_SECONDS_MAX = 4.0
CONNECTION_SECONDS_MAX = 4.0
# Once somebody has waited in vain: the next would only queue up behind each other, and hear it after ten seconds.
AWAY_SECONDS_MAX = 0.5
_INTERVAL_SECONDS = 0.1

Value = TypeVar("Value")
Row_co = TypeVar("Row_co", covariant=True)


@dataclass
class _Patience:
    left_seconds: float


_of_this_request: ContextVar[_Patience | None] = ContextVar("patience", default=None)
_is_away = threading.Event()


@contextmanager
def limited(seconds: float = REQUEST_SECONDS_MAX) -> Iterator[None]:
    """Within the block the database is waited for so long and no longer."""
    token = _of_this_request.set(_Patience(min(seconds, AWAY_SECONDS_MAX) if _is_away.is_set() else seconds))
    try:
        yield
    finally:
        _of_this_request.reset(token)


class Connection(psycopg.Connection[Row_co]):
    """A connection to PostgreSQL that gives up on a silent server within a request."""

    def wait(self, gen: PQGen[Value], interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> Value:
        patience = _of_this_request.get()
        if patience is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        started = monotonic()
        try:
            return super().wait(gen, interval, max(patience.left_seconds, 0.0))
        except _WaitTimeout:
            # Somewhere in the middle of a statement: nobody can use it any more.
            self.close()
            raise
        finally:
            patience.left_seconds -= monotonic() - started


def in_vain(error: Exception) -> None:
    """A request has waited for a connection and got none: until one can be had, nobody waits so long for it."""
    if isinstance(error, PoolTimeout) or isinstance(error.__cause__, PoolTimeout):
        _is_away.set()
        _wait_for_connections(AWAY_SECONDS_MAX)


@receiver(connection_created)
def _is_back(**kwargs: Any) -> None:
    if _is_away.is_set():
        _wait_for_connections(CONNECTION_SECONDS_MAX)
        _is_away.clear()


def _wait_for_connections(seconds: float) -> None:
    # Only PostgreSQL's connections come from a pool.
    if (pool := getattr(connection, "pool", None)) is not None:
        pool.timeout = seconds


@receiver(connection_created)
def _limit_sqlite(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """SQLite makes a connection for each request, and takes its patience when it is made."""
    patience = _of_this_request.get()
    if patience is not None and connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(patience.left_seconds * 1000)}")
