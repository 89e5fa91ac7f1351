"""Triggers with which the database itself refuses a write, or writes further rows, on SQLite and on PostgreSQL.

Migrations declare a `Trigger` with `append_only` or `final` and install it with the `CreateTrigger` operation. From
then on the database refuses the write for every client: the ORM, raw SQL and a console. The refused statement raises
`IntegrityError` with the trigger's message. A `DerivingTrigger` keeps rows of another table that repeat a column.

SQLite rebuilds a table for most changes of its columns and constraints, and a rebuilt table has no triggers. A
migration that changes a table with triggers must therefore end with `CreateTrigger` for each of them; it replaces a
trigger that exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

Event = Literal["UPDATE", "DELETE", "TRUNCATE"]


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """Refuses `events` on the rows of `table`."""

    name: str
    """Prefix of the triggers' names (each event has its own trigger) and name of PostgreSQL's trigger function."""
    table: str
    events: tuple[Event, ...]
    message: str
    """Text of the error."""
    only_when: str = ""
    """SQL condition on OLD, for example `OLD.phase = 'done'`. Without one, every row is protected."""
    columns: tuple[str, ...] = ()
    """The protected columns. Without any, every UPDATE is refused, even one that changes nothing."""

    def create_sql(self, vendor: str) -> list[str]:
        """Return the statements that create the triggers, replacing those that exist.

        Args:
            vendor: `connection.vendor`: "postgresql" or "sqlite".
        """
        message = self.message.replace("'", "''")
        # A comparison that treats NULL as a value. SQLite accepts PostgreSQL's spelling only since version 3.39.
        differs = "IS DISTINCT FROM" if vendor == "postgresql" else "IS NOT"
        changes = " OR ".join(f"NEW.{column} {differs} OLD.{column}" for column in self.columns)
        conditions = [f"({condition})" for condition in (self.only_when, changes) if condition]
        when = f"WHEN ({' AND '.join(conditions)})" if conditions else ""
        if vendor == "sqlite":
            return self.drop_sql(vendor) + [
                f"CREATE TRIGGER {self.name}_{event.lower()} BEFORE {event} ON {self.table} {when} "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
                for event in self.events
                # SQLite has no TRUNCATE statement.
                if event != "TRUNCATE"
            ]
        # The error code makes psycopg, and so Django, raise IntegrityError, as SQLite's RAISE(ABORT) does.
        function = f"""CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = '{message}'; END $$"""
        # TRUNCATE does not visit rows, so its trigger can only be one for the whole statement.
        rows = {"UPDATE": "FOR EACH ROW", "DELETE": "FOR EACH ROW", "TRUNCATE": "FOR EACH STATEMENT"}
        return [
            *self.drop_sql(vendor),
            function,
            *(
                f"CREATE TRIGGER {self.name}_{event.lower()} BEFORE {event} ON {self.table} {rows[event]} {when} "
                f"EXECUTE FUNCTION {self.name}()"
                for event in self.events
            ),
        ]

    def drop_sql(self, vendor: str) -> list[str]:
        """Return the statements that remove the triggers, if they exist."""
        names = [f"{self.name}_{event.lower()}" for event in self.events]
        if vendor == "sqlite":
            return [f"DROP TRIGGER IF EXISTS {name}" for name in names]
        triggers = [f"DROP TRIGGER IF EXISTS {name} ON {self.table}" for name in names]
        return [*triggers, f"DROP FUNCTION IF EXISTS {self.name}()"]


def append_only(table: str, *, message: str) -> Trigger:
    """Return a trigger for a table whose rows are inserted but never changed or removed."""
    return Trigger(name=f"{table}_append_only", table=table, events=("UPDATE", "DELETE", "TRUNCATE"), message=message)


def final(table: str, *, columns: tuple[str, ...], only_when: str, message: str) -> Trigger:
    """Return a trigger for `columns` whose values are final in each row that fulfils the SQL condition `only_when`."""
    return Trigger(
        name=f"{table}_final", table=table, events=("UPDATE",), columns=columns, only_when=only_when, message=message
    )


@dataclass(frozen=True, kw_only=True)
class DerivingTrigger:
    """Writes rows of another table when a column of `table` is written."""

    name: str
    """Prefix of the triggers' names, and name of PostgreSQL's trigger function."""
    table: str
    column: str
    empty: str
    """The value from which nothing is derived, as SQL."""
    insert: Mapping[str, str]
    """By the vendor: the statement that inserts the rows which follow from NEW."""
    delete: str
    """The statement that deletes the rows which followed from OLD."""

    def create_sql(self, vendor: str) -> list[str]:
        """Return the statements that create the triggers, replacing those that exist. `vendor` as for `Trigger`."""
        inserted = f"AFTER INSERT ON {self.table} FOR EACH ROW WHEN (NEW.{self.column} <> {self.empty})"
        changed = f"(NEW.{self.column} <> OLD.{self.column})"
        updated = f"AFTER UPDATE OF {self.column} ON {self.table} FOR EACH ROW WHEN {changed}"
        if vendor == "sqlite":
            return [
                *self.drop_sql(vendor),
                f"CREATE TRIGGER {self.name}_insert {inserted} BEGIN {self.insert[vendor]}; END",
                f"CREATE TRIGGER {self.name}_update {updated} BEGIN {self.delete}; {self.insert[vendor]}; END",
            ]
        function = f"""CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP = 'UPDATE' THEN {self.delete}; END IF;
                {self.insert[vendor]};
                RETURN NULL;
            END $$"""
        return [
            *self.drop_sql(vendor),
            function,
            f"CREATE TRIGGER {self.name}_insert {inserted} EXECUTE FUNCTION {self.name}()",
            f"CREATE TRIGGER {self.name}_update {updated} EXECUTE FUNCTION {self.name}()",
        ]

    def drop_sql(self, vendor: str) -> list[str]:
        """Return the statements that remove the triggers, if they exist."""
        if vendor == "sqlite":
            return [f"DROP TRIGGER IF EXISTS {self.name}_{event}" for event in ("insert", "update")]
        triggers = [f"DROP TRIGGER IF EXISTS {self.name}_{event} ON {self.table}" for event in ("insert", "update")]
        return [*triggers, f"DROP FUNCTION IF EXISTS {self.name}()"]


class CreateTrigger(Operation):
    """A migration operation that creates a trigger; reversed, it drops the trigger."""

    def __init__(self, trigger: Trigger | DerivingTrigger) -> None:
        self.trigger = trigger

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: triggers are not part of Django's model state."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        for statement in self.trigger.create_sql(schema_editor.connection.vendor):
            # Without parameters, so that a percent sign in the message is not a placeholder.
            schema_editor.execute(statement, params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        for statement in self.trigger.drop_sql(schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Create trigger {self.trigger.name}"
