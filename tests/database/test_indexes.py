"""Migrations change indexes without rebuilding a table, and no index is the prefix of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

from database.indexes import AddIndex, CreatePostgresIndex, DropFieldIndexes, RemoveIndex
from database.triggers import append_only
from tests.helpers.database_guards import execute

pytestmark = pytest.mark.django_db(transaction=True)

INDEX = models.Index(fields=["owner", "-id"], name="jobs_of_owner", condition=models.Q(name="x"))
OWNER = models.ForeignKey("auth.User", models.PROTECT, null=True)
NAME = models.CharField(max_length=50, unique=True)
APPEND_ONLY = append_only("jobs", message="A job stays.")
OUR_APPS = ("accounts", "credits", "generations", "notifications", "operations")


@dataclass
class Jobs:
    """A table with a foreign key, a unique text and a trigger."""

    state: ProjectState

    def migrate(self, operation: Operation) -> None:
        after = self.state.clone()
        operation.state_forwards("database", after)
        # Not in a transaction, as in a migration with `atomic = False`.
        with connection.schema_editor(atomic=False) as editor:
            operation.database_forwards("database", editor, self.state, after)
        self.state = after

    @property
    def indexes(self) -> set[str]:
        """The names of the indexes that enforce nothing."""
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, "jobs")
        return {name for name, facts in found.items() if facts["index"] and not facts["unique"]}


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    state = ProjectState.from_apps(apps)
    fields: dict[str, models.Field[Any, Any]] = {
        "id": models.BigAutoField(primary_key=True),
        "owner": OWNER,
        "name": NAME,
    }
    state.add_model(ModelState("database", "Job", fields, {"db_table": "jobs"}))
    with connection.schema_editor() as editor:
        editor.create_model(state.apps.get_model("database", "Job"))
    execute(*APPEND_ONLY.create_sql(connection.vendor))
    yield Jobs(state)
    execute(*APPEND_ONLY.drop_sql(connection.vendor), "DROP TABLE jobs")


def test_indexes_of_fields_are_dropped_and_the_guards_stay(jobs: Jobs) -> None:
    assert jobs.indexes

    jobs.migrate(DropFieldIndexes("job", "owner", models.ForeignKey("auth.User", models.PROTECT, db_index=False)))
    jobs.migrate(DropFieldIndexes("job", "name", NAME))

    assert not jobs.indexes
    execute("INSERT INTO jobs (name) VALUES ('x')")
    for refused in ("INSERT INTO jobs (name) VALUES ('x')", "DELETE FROM jobs"):
        with pytest.raises(IntegrityError):
            execute(refused)


def test_an_interrupted_migration_can_be_repeated(jobs: Jobs) -> None:
    before, state = jobs.indexes, jobs.state
    for _ in range(2):
        jobs.state = state
        jobs.migrate(AddIndex("job", INDEX))
        assert jobs.indexes == before | {"jobs_of_owner"}
    state = jobs.state
    for _ in range(2):
        jobs.state = state
        jobs.migrate(RemoveIndex("job", "jobs_of_owner"))
        assert jobs.indexes == before


def test_an_index_of_postgresql_exists_only_there(jobs: Jobs) -> None:
    for _ in range(2):
        jobs.migrate(CreatePostgresIndex("jobs_by_name", "jobs USING hash (name)"))

    assert ("jobs_by_name" in jobs.indexes) == (connection.vendor == "postgresql")


@pytest.mark.only_postgresql
def test_no_index_is_the_prefix_of_another() -> None:
    """A query that uses the shorter one can use the longer one, and every write maintains both."""
    statement = """
        SELECT shorter.indexrelid::regclass || ' of ' || longer.indexrelid::regclass
        FROM pg_index shorter JOIN pg_index longer
          ON shorter.indrelid = longer.indrelid AND shorter.indexrelid <> longer.indexrelid
        WHERE longer.indkey::text || ' ' LIKE shorter.indkey::text || ' %%'
          AND NOT shorter.indisunique
          AND pg_get_expr(longer.indpred, longer.indrelid)
              IS NOT DISTINCT FROM pg_get_expr(shorter.indpred, shorter.indrelid)
          AND shorter.indexprs IS NULL
          AND split_part(shorter.indrelid::regclass::text, '_', 1) = ANY(%s)
    """
    with connection.cursor() as cursor:
        found = cursor.execute(statement, [list(OUR_APPS)]).fetchall()
    assert not found, "\n".join(name for (name,) in found)
