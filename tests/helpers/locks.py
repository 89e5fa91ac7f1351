"""Row locks and deadlocks on PostgreSQL, seen and made from sessions outside of Django's pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import OperationalError, connection
from psycopg.errors import DeadlockDetected

from tests.services.waiting import until


@contextmanager
def another_session() -> Iterator[psycopg.Connection[Any]]:
    """A session of its own on the database of the test. What it has changed is committed at the end."""
    server = connection.settings_dict
    with psycopg.connect(
        host=server["HOST"], port=server["PORT"], user=server["USER"], dbname=server["NAME"]
    ) as session:
        yield session


def deadlocks() -> int:
    """How many deadlocks PostgreSQL has resolved in the database of the test. Closes the connections of this process.

    A process of PostgreSQL reports its deadlocks when its connection ends at the latest.
    """
    database: Any = connection
    database.close()
    database.close_pool()
    with another_session() as session:
        # Within one transaction PostgreSQL shows the same activity again.
        session.autocommit = True
        others = """SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend'
            AND datname = current_database() AND pid <> pg_backend_pid()"""
        until(lambda: not session.execute(others).fetchall(), what="the end of the other connections")
        counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(session.execute(counted).fetchall()[0][0])


def is_deadlock(result: object) -> bool:
    """Whether this is the error of a transaction that PostgreSQL has ended because of a deadlock."""
    return isinstance(result, OperationalError) and isinstance(result.__cause__, DeadlockDetected)
