"""Django empties all tables after a transactional test. Here it may, where triggers refuse it; and what migrations
put into them stays, instead of being put there again each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib.contenttypes.management import create_contenttypes
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate

Flush = Callable[..., list[str]]
# The same after every migration, and no test writes to them: filling them is most of what a flush takes.
_KEPT = {"django_content_type", "auth_permission"}


def quickly_and_past_triggers(connection: BaseDatabaseWrapper) -> None:
    """Teach the flush of `connection`'s kind to set triggers aside and to put them back. To be called when all is
    migrated."""
    _keep_what_migrations_fill()
    operations = type(connection.ops)
    around = {"sqlite": _without_sqlite_triggers, "postgresql": _without_postgresql_triggers}[connection.vendor]
    flush = operations.sql_flush

    def sql_flush(self: Any, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
        tables = [table for table in tables if table not in _KEPT]
        statements = flush(self, style, tables, **options)
        return around(self.connection, tables, statements) if statements else statements

    operations.sql_flush = sql_flush  # type: ignore[method-assign]


def _keep_what_migrations_fill() -> None:
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    post_migrate.disconnect(create_contenttypes)


def _without_sqlite_triggers(connection: BaseDatabaseWrapper, tables: Sequence[str], flush: list[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = [(name, sql) for name, table, sql in cursor.fetchall() if table in tables]
    drop = [f'DROP TRIGGER "{name}"' for name, _ in triggers]
    return [*drop, *flush, *(sql for _, sql in triggers)]


def _without_postgresql_triggers(connection: BaseDatabaseWrapper, tables: Iterable[str], flush: list[str]) -> list[str]:
    """Row by row: there are few, and TRUNCATE makes new files for every table and index, a tenth of a second each time.

    Like TRUNCATE it waits for whoever is still at work on a table. It takes the superuser that the tests are.
    """
    names = [f'"{table}"' for table in sorted(tables)]
    return [
        f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE",
        "SET LOCAL session_replication_role = replica",
        *(f"DELETE FROM {name}" for name in names),  # noqa: S608  (the names are Django's own)
    ]
