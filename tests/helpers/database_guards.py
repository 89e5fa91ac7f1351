"""Removes guards of the database, locks rows and adds failures, on both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from django.core.management import call_command
from django.db import connection, models
from psycopg import sql


def execute(*statements: str) -> None:
    """Execute SQL statements without parameters."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def locked(row: models.Model) -> Iterator[None]:
    """Lock a row from another connection, as an UPDATE does.

    On SQLite, which locks no rows, lock the whole database for writing. The row must be committed, so the
    test needs `django_db(transaction=True)`.
    """
    server = connection.settings_dict
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(server["NAME"], isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    address = {"host": server["HOST"], "port": server["PORT"], "user": server["USER"], "dbname": server["NAME"]}
    with psycopg.connect(**address) as other_session:
        statement = sql.SQL("SELECT 1 FROM {} WHERE id = %s FOR NO KEY UPDATE")
        other_session.execute(statement.format(sql.Identifier(row._meta.db_table)), [row.pk])
        yield


@contextmanager
def rejecting_inserts(table: type[models.Model]) -> Iterator[None]:
    """Make every INSERT into a table fail, as a stand-in for any failure in the middle of an operation."""
    name = table._meta.db_table
    if connection.vendor == "postgresql":
        add = f"ALTER TABLE {name} ADD CONSTRAINT closed CHECK (false) NOT VALID"
        remove = f"ALTER TABLE {name} DROP CONSTRAINT closed"
    else:
        add = f"CREATE TRIGGER closed BEFORE INSERT ON {name} BEGIN SELECT RAISE(ABORT, 'closed'); END"
        remove = "DROP TRIGGER closed"
    execute(add)
    try:
        yield
    finally:
        execute(remove)


@contextmanager
def without_constraint(model: type[models.Model], name: str) -> Iterator[None]:
    """Remove a constraint. All tables are emptied afterwards, because their rows may violate it."""
    constraint = next(constraint for constraint in model._meta.constraints if constraint.name == name)
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)
    try:
        yield
    finally:
        call_command("flush", interactive=False, verbosity=0)
        with connection.schema_editor() as editor:
            editor.add_constraint(model, constraint)


@contextmanager
def without_unique(model: type[models.Model], name: str) -> Iterator[None]:
    """Remove the uniqueness of a text field with `unique=True`, as `without_constraint` removes a constraint."""
    unique = model._meta.get_field(name)
    assert isinstance(unique, models.CharField)
    plain = models.CharField(max_length=unique.max_length, null=unique.null)
    plain.set_attributes_from_name(name)
    indexes = _indexes_of(model)
    with connection.schema_editor() as editor:
        editor.alter_field(model, unique, plain)
    try:
        yield
    finally:
        call_command("flush", interactive=False, verbosity=0)
        with connection.schema_editor() as editor:
            editor.alter_field(model, plain, unique)
        # Django adds an index for LIKE, which the migrations have dropped.
        execute(*(f'DROP INDEX "{index}"' for index in _indexes_of(model) - indexes if index.endswith("_like")))


def _indexes_of(model: type[models.Model]) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, model._meta.db_table))
