"""`Prepared` plans a statement once per connection, and works where a pooler changes the connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from database import prepared
from database.ids import new_id
from database.prepared import Prepared
from tests.conftest import url_of_the_test_database
from tests.services.pgbouncer import pgbouncer

pytestmark = pytest.mark.django_db(transaction=True)

Words = Callable[[], list[str]]


@pytest.fixture
def words() -> Iterator[Words]:
    """Executes a statement twice. Returns the first words of what was sent."""
    User.objects.create_user("alice")
    # Connections of earlier tests do not know it.
    name = f"a{new_id().hex}"
    sql = f"SELECT username, 100 %% 7 AS {name} FROM auth_user WHERE username = %s AND is_active = %s"  # noqa: S608
    statement = Prepared(sql, "text", "boolean")

    def execute() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert statement.fetch_one(["alice", True]) == ("alice", 2)
            assert statement.fetch_one(["bob", True]) is None
        return [query["sql"].split()[0] for query in captured]

    yield execute
    prepared.is_behind_pooler.clear()


def test_a_statement_is_executed_with_its_parameters(words: Words) -> None:
    assert words()[-1] == ("EXECUTE" if connection.vendor == "postgresql" else "SELECT")
    assert not prepared.is_behind_pooler.is_set()


@pytest.mark.only_postgresql
def test_a_connection_prepares_a_statement_once(words: Words) -> None:
    assert words() == ["PREPARE", "EXECUTE", "EXECUTE"]
    assert words() == ["EXECUTE", "EXECUTE"]


@pytest.mark.only_postgresql
def test_nothing_is_prepared_within_a_transaction(words: Words) -> None:
    with transaction.atomic():
        assert words() == ["SELECT", "SELECT"]


@pytest.mark.only_postgresql
def test_a_change_of_a_column_is_no_error(words: Words) -> None:
    words()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE auth_user ALTER COLUMN username TYPE varchar(151)")
        try:
            assert words() == ["EXECUTE", "DEALLOCATE", "SELECT", "PREPARE", "EXECUTE"]
        finally:
            cursor.execute("ALTER TABLE auth_user ALTER COLUMN username TYPE varchar(150)")
    assert not prepared.is_behind_pooler.is_set()


@pytest.mark.only_postgresql
def test_any_other_error_is_raised_and_leaves_the_statement_prepared() -> None:
    quotient = Prepared("SELECT 6 / %s", "integer")

    for _ in range(2):
        with pytest.raises(DatabaseError, match="division by zero"):
            quotient.fetch_one([0])

    assert quotient.fetch_one([2]) == (3,)
    assert not prepared.is_behind_pooler.is_set()


@pytest.mark.only_postgresql
def test_behind_pgbouncer_a_statement_is_executed_on_a_connection_that_does_not_know_it(words: Words) -> None:
    direct = connections["default"]
    with pgbouncer(url_of_the_test_database()) as url, psycopg.connect(url) as other:
        through = connections.create_connection("default")
        port = psycopg.conninfo.conninfo_to_dict(url)["port"]
        through.settings_dict = {**direct.settings_dict, "PORT": port, "OPTIONS": {}}
        connections["default"] = through
        try:
            assert words() == ["PREPARE", "EXECUTE", "EXECUTE"]
            # The transaction of another client has the connection that knows the statement.
            other.execute("SELECT 1")
            assert words() == ["EXECUTE", "SELECT", "SELECT"]
        finally:
            through.close()
            connections["default"] = direct
    assert prepared.is_behind_pooler.is_set()
