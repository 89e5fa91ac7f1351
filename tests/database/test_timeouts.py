"""A request waits for PostgreSQL for a limited time, a worker as long as PostgreSQL lets it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg_pool import ConnectionPool, PoolTimeout

from database import timeouts
from tests.conftest import url_of_the_test_database
from tests.services.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.only_postgresql]


def test_every_connection_has_the_limits_of_the_settings() -> None:
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    with connection.cursor() as cursor:
        limits = [cursor.execute(f"SHOW {name}").fetchone() for name in names]

    assert limits == [("3s",), ("30s",), ("30s",)]


def run_slow_statements(seconds: float, *, times: int = 1) -> int:
    """Keep PostgreSQL busy, and return how many statements it executed.

    The connection exists already, so a limit counts for the statements alone.
    """
    with connection.cursor() as cursor:
        for _ in range(times):
            cursor.execute("SELECT pg_sleep(%s)", [seconds])
    return times


def test_a_request_gives_up_on_a_slow_statement_and_drops_its_connection() -> None:
    connection.ensure_connection()
    dropped = connection.connection

    with timeouts.limited(seconds=0.3), pytest.raises(OperationalError):
        run_slow_statements(2)

    assert dropped.closed
    connection.close()


def test_the_statements_of_one_request_share_one_limit() -> None:
    connection.ensure_connection()

    with timeouts.limited(seconds=0.5), pytest.raises(OperationalError):
        run_slow_statements(0.1, times=8)

    connection.close()


def test_outside_of_requests_the_same_statements_are_not_limited() -> None:
    """Negative control."""
    assert run_slow_statements(0.1, times=8) == 8


@pytest.fixture
def pool() -> Iterator[Any]:
    wrapper: Any = connection
    wrapper.ensure_connection()
    yield wrapper.pool
    wrapper.close()
    wrapper.ensure_connection()


def test_while_the_database_is_unreachable_waits_are_short(pool: Any) -> None:
    timeouts.record_failure(ValueError("another error"))
    assert pool.timeout == timeouts.CONNECTION_SECONDS_MAX

    timeouts.record_failure(PoolTimeout("couldn't get a connection after 4.00 sec"))
    assert pool.timeout == timeouts.UNREACHABLE_SECONDS_MAX

    connection.close()
    connection.ensure_connection()
    assert pool.timeout == timeouts.CONNECTION_SECONDS_MAX


def test_the_pool_checks_a_connection_without_a_statement() -> None:
    pid = run_and_get_pid("SELECT pg_backend_pid() AS before_the_check")

    ConnectionPool.check_connection(connection.connection)

    with psycopg.connect(url_of_the_test_database()) as observer:
        latest = observer.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
    assert latest == ("SELECT pg_backend_pid() AS before_the_check",)


def test_the_check_finds_that_the_server_has_closed_the_connection() -> None:
    pid = run_and_get_pid("SELECT pg_backend_pid()")
    with psycopg.connect(url_of_the_test_database(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        of_it = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        until(lambda: other.execute(of_it, [pid]).fetchone() is None, what="the end of the connection")

    with pytest.raises(psycopg.OperationalError):
        ConnectionPool.check_connection(connection.connection)
    connection.close()


def run_and_get_pid(statement: str) -> int:
    """Run a statement. Returns the process id of its server."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.fetchone()[0])


def test_a_separate_limit_is_in_force_although_the_time_of_the_request_is_used_up() -> None:
    with timeouts.limited(0.0):
        with timeouts.limited(5.0, separately=True):
            timeouts.spend(1.0)
            assert timeouts.seconds_left(at_most=60.0) == 4.0
        assert timeouts.seconds_left(at_most=60.0) == 0.0


def test_another_limit_is_not() -> None:
    """Negative control."""
    with timeouts.limited(0.0), timeouts.limited(5.0):
        assert timeouts.seconds_left(at_most=60.0) == 0.0
