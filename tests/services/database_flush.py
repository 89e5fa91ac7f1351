"""Lets Django empty the tables after a transactional test although triggers refuse deletions, and makes it faster.

Content types and permissions are kept: migrations fill these tables, and filling them again takes most of a flush.
`tests/conftest.py` installs it when the test database is migrated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.contenttypes.management import create_contenttypes
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate

# Migrations fill them with the same rows each time, and no test writes to them.
_FILLED_BY_MIGRATIONS = {"django_content_type", "auth_permission"}
# The folder of the files is that of all tests of a process, and so is its mark: a Limn that runs through several tests
# must not take it for that of another deployment.
_KEPT = {*_FILLED_BY_MIGRATIONS, "generations_storagemark"}


def install(connection: BaseDatabaseWrapper) -> None:
    """Change how databases of the connection's vendor are flushed in this process. Call it after the migrations."""
    # Django would fill these tables again after each flush.
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    post_migrate.disconnect(create_contenttypes)
    operations = type(connection.ops)
    flush = operations.sql_flush
    without_triggers = {"sqlite": _without_sqlite_triggers, "postgresql": _without_postgresql_triggers}

    def sql_flush(self: Any, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
        tables = [table for table in tables if table not in _KEPT]
        statements = flush(self, style, tables, **options)
        return without_triggers[connection.vendor](self.connection, tables, statements) if statements else []

    operations.sql_flush = sql_flush  # type: ignore[method-assign]


def _without_sqlite_triggers(connection: BaseDatabaseWrapper, tables: Sequence[str], flush: list[str]) -> list[str]:
    """Drop the triggers of the tables, flush, and create them again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = [(name, sql) for name, table, sql in cursor.fetchall() if table in tables]
    drop = [f'DROP TRIGGER "{name}"' for name, _ in triggers]
    return [*drop, *flush, *(sql for _, sql in triggers)]


def _without_postgresql_triggers(connection: BaseDatabaseWrapper, tables: Iterable[str], flush: list[str]) -> list[str]:
    """Delete the few rows instead of TRUNCATE, which creates new files for every table and index in 0.1 s.

    Like TRUNCATE it waits for transactions that still use a table. Triggers are off in the role `replica`, which only a
    superuser may take.
    """
    names = [f'"{table}"' for table in sorted(tables)]
    return [
        f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE",
        "SET LOCAL session_replication_role = replica",
        *(f"DELETE FROM {name}" for name in names),  # noqa: S608  (table names of Django models)
    ]
