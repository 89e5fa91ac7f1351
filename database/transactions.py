"""How transactions wait for others, and what follows if the database ends one (docs/decisions/0009-locks.md).

The lifecycle records with `repeated` what fal has said. Such a fact exists nowhere else, so a deadlock, a lock that
another transaction holds for long, or a lost connection must not lose it. Every function that is repeated reads what it
decides about within its transaction, and reporting a fact twice changes nothing.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import psycopg
from django.db import Error, InterfaceError, InternalError, OperationalError, connection, transaction
from psycopg import errors
from psycopg_pool import PoolTimeout

logger = logging.getLogger(__name__)

TIMES = 3
# Two transactions that wait for each other again and again are taken apart by pauses of different length.
PAUSE_SECONDS_MAX = 0.05
UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""What is raised when the database is locked, restarting, unreachable, out of connections or, as a replica, read-only.

All of these pass. PostgreSQL reports the last one as an internal error.
"""
# The last one: this process was suspended in the middle of the transaction.
_ENDED_FOR_ANOTHER = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.IdleInTransactionSessionTimeout,
)
# Limn's own limits. Another attempt would wait as long.
_LIMITS = (PoolTimeout, errors.ConnectionTimeout, errors.QueryCanceled, errors._WaitTimeout)

# Whether transactions that begin now check foreign keys with each statement.
_checks_foreign_keys_at_once: ContextVar[bool] = ContextVar("checks_foreign_keys_at_once", default=False)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@contextmanager
def foreign_keys_checked_at_once() -> Iterator[None]:
    """Let transactions that begin within the block check foreign keys with each statement, and not in COMMIT.

    A check waits for a row that another transaction has locked. In COMMIT it would do that with all locks of this one,
    also with one that everybody needs. It costs nothing: `beginning` is sent together with BEGIN.
    """
    token = _checks_foreign_keys_at_once.set(True)
    try:
        yield
    finally:
        _checks_foreign_keys_at_once.reset(token)


def beginning() -> bytes:
    """Return what is sent after BEGIN, for a connection to PostgreSQL."""
    return b"; SET CONSTRAINTS ALL IMMEDIATE" if _checks_foreign_keys_at_once.get() else b""


def repeated(write: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function that is one transaction, as `transaction.atomic` does: `repeat` runs it."""

    @wraps(write)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return repeat(partial(write, *args, **kwargs))

    return run


def repeat(write: Callable[[], Result]) -> Result:
    """Run a transaction, up to TIMES times if `is_passing` holds for its error, and return what `write` returns.

    Within another transaction it runs once: only the outermost one can be repeated.
    """
    times = 1 if connection.in_atomic_block else TIMES
    for number in range(1, times + 1):
        try:
            with transaction.atomic():
                return write()
        except (OperationalError, InternalError) as error:
            if number == times or not is_passing(error):
                raise
            logger.warning("a transaction is repeated", extra={"error": f"{error}"[:200], "number": number})
        time.sleep(random.uniform(0, PAUSE_SECONDS_MAX))  # noqa: S311  (no secret)
    raise AssertionError("unreachable")


def is_passing(error: Error) -> bool:
    """Return whether a transaction that ended with this error may succeed if it is repeated at once.

    PostgreSQL has ended it because of another transaction (40001, 40P01, 55P03), or has closed the connection. The
    latter has no SQLSTATE, unless the server said why: class 57, an operator, or class 08, the connection.
    """
    cause = error.__cause__
    if isinstance(cause, _ENDED_FOR_ANOTHER):
        return True
    is_closed = isinstance(cause, psycopg.OperationalError) and (cause.sqlstate or "08")[:2] in {"08", "57"}
    return is_closed and not isinstance(cause, _LIMITS)
