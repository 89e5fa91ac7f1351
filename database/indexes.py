"""Migration operations that change indexes while Limn serves requests, on SQLite and on PostgreSQL.

Django's own operations lock the table on PostgreSQL until an index is built, and rebuild the table on SQLite to drop
the index of a foreign key; a rebuilt table has lost its triggers. These build concurrently, and rebuild nothing. A
migration that uses them needs `atomic = False`, because PostgreSQL builds concurrently only outside of a transaction.
It can be repeated if it was interrupted: an unfinished index is dropped and built again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation


class AddIndex(migrations.AddIndex):
    """Adds an index of a model."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        with without_timeouts(schema_editor):
            drop(schema_editor, self.index.name)
            if schema_editor.connection.vendor == "postgresql":
                schema_editor.execute(self.index.create_sql(model, schema_editor, concurrently=True))
            else:
                schema_editor.add_index(model, self.index)


class RemoveIndex(migrations.RemoveIndex):
    """Removes an index of a model."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        with without_timeouts(schema_editor):
            drop(schema_editor, self.name)


class DropFieldIndexes(migrations.AlterField):
    """Changes a field to `db_index=False`, or leaves a unique field as it is, and drops what Django indexed by itself.

    Of a foreign key that is its index. Of a unique text on PostgreSQL it is a second index for LIKE, whose name ends
    with `_like`.
    """

    reversible = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        column = model._meta.get_field(self.name).column
        declared = {index.name for index in (*model._meta.indexes, *model._meta.constraints)}
        connection = schema_editor.connection
        with without_timeouts(schema_editor):
            with connection.cursor() as cursor:
                found = connection.introspection.get_constraints(cursor, model._meta.db_table)
            for name, facts in found.items():
                if facts["columns"] == [column] and facts["index"] and not facts["unique"] and name not in declared:
                    drop(schema_editor, name)


class CreatePostgresIndex(Operation):
    """Creates an index that only PostgreSQL has. It is not part of Django's model state."""

    reversible = False

    def __init__(self, name: str, definition: str) -> None:
        self.name = name
        self.definition = definition
        """What follows `CREATE INDEX … ON`: the table, the method, the columns and the condition."""

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor == "postgresql":
            with without_timeouts(schema_editor):
                drop(schema_editor, self.name)
                schema_editor.execute(f"CREATE INDEX CONCURRENTLY {self.name} ON {self.definition}", params=None)

    def describe(self) -> str:
        return f"Create index {self.name} on PostgreSQL"


def drop(schema_editor: BaseDatabaseSchemaEditor, name: str) -> None:
    """Drop an index if it exists, on PostgreSQL without locking its table against writers."""
    concurrently = "CONCURRENTLY " if schema_editor.connection.vendor == "postgresql" else ""
    schema_editor.execute(f"DROP INDEX {concurrently}IF EXISTS {schema_editor.quote_name(name)}", params=None)


@contextmanager
def without_timeouts(schema_editor: BaseDatabaseSchemaEditor) -> Iterator[None]:
    """Suspend the time-outs of the connection: a large index takes minutes, and waits for older transactions."""
    names = ("statement_timeout", "lock_timeout") if schema_editor.connection.vendor == "postgresql" else ()
    for name in names:
        schema_editor.execute(f"SET {name} = 0", params=None)
    try:
        yield
    finally:
        for name in names:
            schema_editor.execute(f"RESET {name}", params=None)
