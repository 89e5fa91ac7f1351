"""The PostgreSQL server of a chaos run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.management.ports import free_port
from quality.chaos.postgres import Postgres
from tests.services import scratch

pytestmark = [pytest.mark.only_postgresql, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with scratch.folder("chaos-postgresql") as path:
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Postgres]:
    started = Postgres(folder / "postgresql", free_port())
    started.administer("CREATE ROLE app LOGIN")
    yield started
    started.stop()


def test_a_restore_brings_back_what_the_dump_contains(server: Postgres, folder: Path) -> None:
    server.create_database("limn", owner="app")
    with psycopg.connect(server.url_of("limn", "app"), autocommit=True) as connection:
        connection.execute("CREATE TABLE jobs (id int)")
        connection.execute("INSERT INTO jobs VALUES (1)")
        server.dump("limn", folder / "dump")
        connection.execute("INSERT INTO jobs VALUES (2)")

        # The open connection does not keep it from replacing the database.
        server.restore("limn", folder / "dump", owner="app")

    with psycopg.connect(server.url_of("limn", "app")) as connection:
        assert connection.execute("SELECT id FROM jobs").fetchall() == [(1,)]


def test_deadlocks_are_counted_even_after_a_crash(server: Postgres) -> None:
    deadlock = "DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$"
    assert server.deadlocks == 0
    with psycopg.connect(server.url) as connection, pytest.raises(psycopg.errors.DeadlockDetected):
        connection.execute(deadlock)

    server.crash()

    assert server.deadlocks == 1
