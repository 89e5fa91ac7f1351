"""The connections to the database. They limit how long a request waits, so its client gets a 503 and not no answer.

On PostgreSQL that is within five seconds. PostgreSQL ends a wait for a lock and a slow statement itself
(`lock_timeout`, `statement_timeout` in the settings). A server that is stopped or cut off ends nothing; for that case
`Connection` counts the time that a request waits. On SQLite, `database.sqlite` counts it.
`config.health.DatabaseUnavailableMiddleware` surrounds every request with `limited`. Workers have no client that waits,
so only the limits of the settings apply to them.
"""

from __future__ import annotations

import logging
import re
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

import psycopg
from django.db import connection
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from psycopg import generators, pq
from psycopg.abc import Params, PQGen
from psycopg.errors import _WaitTimeout
from psycopg_pool import PoolTimeout

from database import transactions
from database.vendor import vendor

logger = logging.getLogger(__name__)

# For all statements of one request together. It exceeds PostgreSQL's lock_timeout of 3 s, so a locked row is reported
# as what it is.
REQUEST_SECONDS_MAX = 4.0
# For what a request does after its order is committed: three waits for a lock, while fal's receipt is recorded.
AFTER_COMMIT_SECONDS_MAX = 10.0
# On SQLite, a request waits for its turns in a queue that moves on (`database.sqlite`). Proxies wait for a minute.
SQLITE_REQUEST_SECONDS_MAX = 20.0
# How long a request waits for a connection of the pool.
CONNECTION_SECONDS_MAX = 4.0
# How long a new connection may take to answer its first statement.
ANSWER_SECONDS_MAX = 3.0
# The same limits while the database is unreachable. Requests would otherwise queue up for the pool, each behind the
# waits of those before it.
UNREACHABLE_SECONDS_MAX = 0.5
_SETTING = re.compile(r"-c (\w+)=([\w.]+)")
_ASK_FOR_THE_PROCESS = b"SELECT pg_backend_pid()"
# psycopg wakes up this often while it waits, so that Ctrl-C works. This is psycopg's own default.
_INTERVAL_SECONDS = 0.1

Value = TypeVar("Value")
Row_co = TypeVar("Row_co", covariant=True)


@dataclass
class _TimeBudget:
    seconds_left: float


_request_budget: ContextVar[_TimeBudget | None] = ContextVar("request_budget", default=None)
# Set by the first request that got no connection, cleared by the next connection. Shared by all threads.
_is_unreachable = threading.Event()
_has_warned = threading.Event()


@contextmanager
def limited(seconds: float | None = None, *, separately: bool = False) -> Iterator[None]:
    """Limit the time that all statements within the block may wait for the database, in seconds.

    Within another such block its limit stays in force as well, and both count the time. Without `seconds` it is the
    limit of a request.

    Args:
        separately: For what must be tried even if the time of the request is used up, since its order is committed.
            The limit of the other block is not in force, and does not count this time.
    """
    if seconds is None:
        on_postgresql = AFTER_COMMIT_SECONDS_MAX if separately else REQUEST_SECONDS_MAX
        seconds = SQLITE_REQUEST_SECONDS_MAX if vendor() == "sqlite" else on_postgresql
    if not separately:
        seconds = seconds_left(at_most=seconds)
    if _is_unreachable.is_set():
        seconds = min(seconds, UNREACHABLE_SECONDS_MAX)
    budget = _TimeBudget(seconds)
    token = _request_budget.set(budget)
    try:
        yield
    finally:
        _request_budget.reset(token)
        if not separately:
            spend(seconds - budget.seconds_left)


def seconds_left(*, at_most: float) -> float:
    """Return how many seconds the next statement may wait: `at_most`, or less if the request has less left."""
    budget = _request_budget.get()
    return at_most if budget is None else min(at_most, max(budget.seconds_left, 0.0))


def spend(seconds: float) -> None:
    """Record that a statement of this request has taken so many seconds."""
    if (budget := _request_budget.get()) is not None:
        budget.seconds_left -= seconds


class Connection(psycopg.Connection[Row_co]):
    """A connection to PostgreSQL that stops waiting for a silent server when the request's time is used up.

    It prepares statements (`database.prepared`) unless a pooler stands between. A pooler also drops the settings of the
    session, such as `lock_timeout`. Then each transaction sets those that the role does not have, together with BEGIN.
    """

    _set_locally = b""
    """Statements that set what the session has lost, for one transaction."""

    @classmethod
    def connect(cls, *args: Any, **options: Any) -> Any:
        connection = super().connect(*args, **options)
        # A pooler such as PgBouncer invents the process id that it reports. The server that executes a statement may
        # then be another one for each transaction, and would not know what was prepared.
        try:
            connection.pgconn.send_query(_ASK_FOR_THE_PROCESS)
            # A pooler accepts connections also while it has no server to execute a statement.
            [answer] = connection.wait(generators.execute(connection.pgconn), timeout=ANSWER_SECONDS_MAX)
        except _WaitTimeout as error:
            connection.close()
            raise psycopg.errors.ConnectionTimeout("the server accepts connections, but does not answer") from error
        if answer.get_value(0, 0) != str(connection.info.backend_pid).encode():
            connection.prepare_threshold = None
            connection._restore_settings(str(options.get("options", "")))
        return connection

    def _restore_settings(self, options: str) -> None:
        """Find out which settings of `options` the pooler has dropped, and warn of them once."""
        wanted = dict(_SETTING.findall(options))
        query = "SELECT name FROM pg_settings WHERE name = ANY(%s) AND setting = boot_val"
        rows: list[Any] = super().execute(query, [list(wanted)]).fetchall()
        self.rollback()
        dropped = sorted(row[0] for row in rows)
        self._set_locally = b"".join(f"; SET LOCAL {name} = {wanted[name]}".encode() for name in dropped)
        if dropped and not _has_warned.is_set():
            _has_warned.set()
            logger.warning(
                "a pooler has dropped settings of the session; only transactions have them. Set them for the role: %s",
                "; ".join(f"ALTER ROLE {self.info.user} SET {name} = '{wanted[name]}'" for name in dropped),
            )

    def _start_query(self) -> PQGen[None]:
        more = self._set_locally + transactions.beginning()
        if not more or self.autocommit or self.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            yield from super()._start_query()
            return
        # What psycopg does, but with several statements in one round trip.
        self._check_connection_ok()
        self.pgconn.send_query(self._get_tx_start_command() + more)
        results = yield from generators.execute(self.pgconn)
        if results[-1].status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(results[-1])

    def execute(self, query: Any, params: Params | None = None, **options: Any) -> psycopg.Cursor[Row_co]:
        # The pool checks a connection with an empty statement before each use, which takes as long as a real one. A
        # server that has closed the connection has sent something. Only then is the statement sent, and fails.
        if query == "":
            received = select.poll()
            received.register(self.pgconn.socket, select.POLLIN)
            if not received.poll(0):
                return self.cursor()
        return super().execute(query, params, **options)

    def wait(self, gen: PQGen[Value], interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> Value:
        budget = _request_budget.get()
        if budget is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        started = monotonic()
        try:
            return super().wait(gen, interval, max(budget.seconds_left, 0.0))
        except _WaitTimeout:
            # The statement was abandoned half-way, so the next answer on this connection could be the answer to it.
            self.close()
            raise
        finally:
            budget.seconds_left -= monotonic() - started


def record_failure(error: Exception) -> None:
    """Shorten the waits of all requests if `error` says that the pool had no connection within its time-out.

    The next connection that is made restores the normal limits.
    """
    if isinstance(error, PoolTimeout) or isinstance(error.__cause__, PoolTimeout):
        _is_unreachable.set()
        _set_pool_timeout(UNREACHABLE_SECONDS_MAX)


@receiver(connection_created)
def _restore_limits(**kwargs: Any) -> None:
    if _is_unreachable.is_set():
        _set_pool_timeout(CONNECTION_SECONDS_MAX)
        _is_unreachable.clear()


def _set_pool_timeout(seconds: float) -> None:
    # Only connections to PostgreSQL come from a pool.
    if (pool := getattr(connection, "pool", None)) is not None:
        pool.timeout = seconds
