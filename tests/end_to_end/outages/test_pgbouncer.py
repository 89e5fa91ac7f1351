"""Limn behind PgBouncer in transaction mode, where neither LISTEN nor settings of a session last.

PgBouncer drops the settings that a connection asks for (`ignore_startup_parameters = options`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database import timeouts
from simulator import Simulator
from tests.end_to_end.outages.deployment import deploy
from tests.services.pgbouncer import pgbouncer
from tests.services.postgres import Server
from tests.services.waiting import until

pytestmark = pytest.mark.only_postgresql


def test_an_order_is_completed_behind_pgbouncer(database: Server, fal: Simulator, tmp_path: Path) -> None:
    with pgbouncer(database.url) as url, deploy(url, fal, tmp_path) as deployment:
        # Requests at the same time share the connections of PgBouncer, and what is prepared on them.
        assert all(deployment.is_healthy() for _ in range(5))
        path = f"/api/v1/generations/{deployment.order()}/"

        assert until(lambda: deployment.request(path).body["status"] == "completed")


OPTIONS = "-c lock_timeout=200 -c statement_timeout=30000 -c random_page_cost=1.1"
CURRENT = "SELECT current_setting('lock_timeout'), current_setting('random_page_cost')"


@pytest.fixture
def pooled(database: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a PgBouncer. No process has been warned of it yet, and the role has no settings afterwards."""
    monkeypatch.setattr("database.timeouts._has_warned", threading.Event())
    with pgbouncer(database.url) as url:
        yield url
    with psycopg.connect(database.url) as session:
        session.execute("ALTER ROLE limn RESET ALL")


def open_connection(url: str, kind: type[psycopg.Connection[Any]] = timeouts.Connection) -> psycopg.Connection[Any]:
    return kind.connect(url, options=OPTIONS)


def settings_of(connection: psycopg.Connection[Any], *, autocommit: bool) -> tuple[str, str]:
    connection.autocommit = autocommit
    found: tuple[str, str] = connection.execute(CURRENT).fetchall()[0]
    return found


def test_a_transaction_has_the_settings_that_pgbouncer_has_dropped(pooled: str) -> None:
    with closing(open_connection(pooled)) as connection:
        assert settings_of(connection, autocommit=False) == ("200ms", "1.1")


def test_with_a_connection_of_psycopg_a_transaction_has_none_of_them(pooled: str) -> None:
    """Negative control."""
    with closing(open_connection(pooled, psycopg.Connection)) as connection:
        assert settings_of(connection, autocommit=False) == ("0", "4")


def test_a_single_statement_has_them_from_its_role_and_the_log_says_how(
    database: Server, pooled: str, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_connection(pooled)) as connection:
        assert settings_of(connection, autocommit=True) == ("0", "4")
    statements = caplog.messages[-1].rpartition(": ")[2]
    with psycopg.connect(database.url) as session:
        session.execute(statements)
    caplog.clear()

    with pgbouncer(database.url) as url, closing(open_connection(url)) as connection:
        assert settings_of(connection, autocommit=True) == ("200ms", "1.1")
    assert caplog.messages == []


def test_the_wait_for_a_locked_row_ends_behind_pgbouncer(database: Server, pooled: str) -> None:
    with psycopg.connect(database.url) as session, closing(open_connection(pooled)) as connection:
        session.execute("SELECT pg_advisory_xact_lock(1)")

        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute("SELECT pg_advisory_xact_lock(1)")


def test_a_warning_is_logged_once_for_a_process(pooled: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        open_connection(pooled).close()

    assert len(caplog.messages) == 1
