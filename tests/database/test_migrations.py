"""The migrations keep the rows and the triggers of a database that the first version created."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import pytest_django
from django.db import IntegrityError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from credits.models import Entry
from generations.models import Generation, MetadataEntry
from tests.conftest import url_of_the_test_database

# Without the mark of pytest-django, which refuses other databases than the one of the tests.
pytestmark = pytest.mark.slow

FIRST = [("generations", "0002_standard_names"), *((app, "0001_initial") for app in ("credits", "accounts"))]
ALIAS = "old"


@pytest.fixture
def old_database(
    tmp_path: Path, django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> Iterator[BaseDatabaseWrapper]:
    """An empty database beside the one of the tests."""
    with django_db_blocker.unblock(), _created(tmp_path / "old.sqlite3"):
        yield connections[ALIAS]


@contextmanager
def _created(path: Path) -> Iterator[None]:
    options = {name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "pool"}
    connections.databases[ALIAS] = {
        **connection.settings_dict,
        "OPTIONS": options,
        "NAME": str(path),
    }
    if connection.vendor == "postgresql":
        connections.databases[ALIAS]["NAME"] = name = f"{connection.settings_dict['NAME']}_old"
        with psycopg.connect(url_of_the_test_database(), autocommit=True) as server:
            server.execute(f'DROP DATABASE IF EXISTS "{name}"')
            server.execute(f'CREATE DATABASE "{name}"')
    yield
    connections[ALIAS].close()
    if connection.vendor == "postgresql":
        with psycopg.connect(url_of_the_test_database(), autocommit=True) as server:
            server.execute(f'DROP DATABASE "{name}"')
    del connections[ALIAS]
    del connections.databases[ALIAS]


def create_rows(database: BaseDatabaseWrapper) -> None:
    """A finished generation and its ledger entry, as the first version wrote them."""
    old = MigrationExecutor(database).loader.project_state(FIRST).apps
    user = old.get_model("auth", "User").objects.using(ALIAS).create(username="alice")
    account = old.get_model("credits", "Account").objects.using(ALIAS).create(user=user, balance=97)
    hold = old.get_model("credits", "Hold").objects.using(ALIAS).create(account=account, reference="x", amount=3)
    for kind, change in (("hold", 3), ("capture", -3)):
        old.get_model("credits", "Entry").objects.using(ALIAS).create(
            account=account, hold=hold, kind=kind, held_change=change
        )
    old.get_model("generations", "Generation").objects.using(ALIAS).create(
        account=account,
        status="completed",
        phase="done",
        credits=3,
        captured=3,
        deadline_at=timezone.now(),
        finished_at=timezone.now(),
        metadata={"project": "x"},
    )


def test_rows_and_triggers_of_the_first_version_are_kept(old_database: BaseDatabaseWrapper) -> None:
    MigrationExecutor(old_database).migrate(FIRST)
    create_rows(old_database)

    executor = MigrationExecutor(old_database)
    executor.migrate(executor.loader.graph.leaf_nodes())

    generations, entries = Generation.objects.using(ALIAS), Entry.objects.using(ALIAS)
    metadata = MetadataEntry.objects.using(ALIAS).get()
    assert (metadata.account_id, metadata.key, metadata.value) == (generations.get().account_id, "project", "x")
    assert (generations.get().metadata, entries.count()) == ({"project": "x"}, 2)
    for refused in (generations.all(), entries.all()):
        with pytest.raises(IntegrityError):
            refused.update(**{"captured": 4} if refused.model is Generation else {"held_change": 4})
