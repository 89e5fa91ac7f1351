"""`prepared` makes PostgreSQL plan a statement once per connection, and works behind a pooler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from database import prepared, timeouts
from database.ids import new_id
from database.prepared import PARAMETERS_MAX
from database.timeouts import Connection
from generations.jobs import leases
from generations.models import Output
from tests.conftest import url_of_the_test_database
from tests.services.pgbouncer import pgbouncer
from tests.services.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

Execute = Callable[[], list[object]]
ANSWERS = [("alice", 2)] * 3 + [None]
# The setting `prepare_threshold` is 2: the third execution prepares.
EXECUTIONS = 3


@pytest.fixture
def name() -> str:
    """A word that occurs in no statement of another test."""
    return f"a{new_id().hex}"


@pytest.fixture
def execute(name: str) -> Execute:
    """Executes a statement as often as it takes until it is prepared, and once more. Returns the answers."""
    User.objects.create_user("alice")
    sql = f"SELECT username, 100 %% 7 AS {name} FROM auth_user WHERE username = %s AND is_active = %s"  # noqa: S608

    def run() -> list[object]:
        return [prepared.fetch_one(sql, [user, True]) for user in ("alice", "alice", "alice", "bob")]

    return run


def is_prepared(name: str) -> bool:
    """Whether this connection to PostgreSQL has prepared a statement with this word."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", [f"% AS {name} FROM %"])
        return bool(cursor.fetchone()[0] == 1)


def test_a_statement_is_executed_with_its_parameters(execute: Execute) -> None:
    assert execute() == ANSWERS


def test_parameters_may_have_names_and_a_name_may_occur_twice() -> None:
    sql = "SELECT CAST(%(a)s AS integer) + %(b)s, CAST(%(a)s AS integer) - %(b)s"

    assert [prepared.fetch_one(sql, {"b": 3, "a": 5}) for _ in range(EXECUTIONS)] == [(8, 2)] * EXECUTIONS


def test_a_prepared_statement_appears_in_the_log_of_django(execute: Execute, name: str) -> None:
    with CaptureQueriesContext(connection) as captured:
        execute()

    assert [name in query["sql"] for query in captured] == [True] * (EXECUTIONS + 1)


@pytest.mark.only_postgresql
def test_a_connection_prepares_a_statement_that_it_executes_again(execute: Execute, name: str) -> None:
    execute()

    assert is_prepared(name)


@pytest.mark.only_postgresql
def test_a_statement_is_prepared_within_a_transaction_as_well(execute: Execute, name: str) -> None:
    with transaction.atomic():
        execute()

    assert is_prepared(name)


@pytest.mark.only_postgresql
def test_after_a_rollback_it_is_prepared_again(execute: Execute, name: str) -> None:
    with transaction.atomic():
        execute()
        transaction.set_rollback(True)

    execute()

    assert is_prepared(name)


@pytest.mark.only_postgresql
def test_a_change_of_a_column_is_no_error(execute: Execute) -> None:
    execute()
    with psycopg.connect(url_of_the_test_database(), autocommit=True) as other:
        other.execute("ALTER TABLE auth_user ALTER COLUMN username TYPE varchar(151)")
        try:
            assert execute() == ANSWERS
        finally:
            other.execute("ALTER TABLE auth_user ALTER COLUMN username TYPE varchar(150)")
    assert execute() == ANSWERS


@pytest.mark.only_postgresql
def test_any_other_error_is_raised() -> None:
    for _ in range(EXECUTIONS + 1):
        with pytest.raises(DatabaseError, match="division by zero"):
            prepared.fetch_one("SELECT 6 / %s::integer", [0])

    assert prepared.fetch_one("SELECT 6 / %s::integer", [2]) == (3,)


@contextmanager
def connected_to(url: str) -> Iterator[None]:
    """Makes the thread use a connection of its own to this server."""
    direct = connections["default"]
    through = connections.create_connection("default")
    port = psycopg.conninfo.conninfo_to_dict(url)["port"]
    options = {name: value for name, value in direct.settings_dict["OPTIONS"].items() if name != "options"}
    through.settings_dict = {**direct.settings_dict, "PORT": port, "OPTIONS": options}
    through.alias = "through"
    connections["default"] = through
    try:
        yield
    finally:
        through.close()
        through.close_pool()  # type: ignore[attr-defined]
        connections["default"] = direct


@pytest.mark.only_postgresql
def test_behind_pgbouncer_nothing_is_prepared(execute: Execute, name: str) -> None:
    with pgbouncer(url_of_the_test_database()) as url, psycopg.connect(url) as other, connected_to(url):
        execute()
        # The transaction of another client has the connection that has executed the statement.
        other.execute("SELECT 1")

        assert execute() == ANSWERS
        assert not is_prepared(name)


@pytest.mark.only_postgresql
def test_behind_pgbouncer_a_prepared_statement_is_lost(
    execute: Execute, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: PgBouncer is taken for the server."""
    monkeypatch.setattr(Connection, "connect", psycopg.Connection.connect)
    with pgbouncer(url_of_the_test_database()) as url, psycopg.connect(url) as other, connected_to(url):

        def take_turns() -> None:
            for _ in range(3):
                execute()
                other.execute("SELECT 1")

        # PgBouncer opens its second connection to the server a moment later.
        with pytest.raises(DatabaseError, match="prepared statement"):
            until(take_turns)


@pytest.mark.only_postgresql
@pytest.mark.parametrize("parameters, expected", [(PARAMETERS_MAX, True), (PARAMETERS_MAX + 1, False)])
def test_a_statement_about_many_rows_is_not_prepared(name: str, parameters: int, expected: bool) -> None:
    """A batch of another size is another statement, and the server would keep megabytes for each."""
    sql = f"SELECT 1 AS {name} FROM auth_user WHERE username IN ({', '.join(['%s'] * parameters)})"  # noqa: S608

    for _ in range(EXECUTIONS):
        prepared.fetch_one(sql, ["alice"] * parameters)

    assert is_prepared(name) == expected


@pytest.mark.only_postgresql
def test_a_claim_goes_on_after_a_change_of_a_column() -> None:
    claim = leases.Claim(Output.objects.to_copy(), seconds=1)
    for _ in range(EXECUTIONS):
        claim.claim(limit=1)
    with psycopg.connect(url_of_the_test_database(), autocommit=True) as other:
        other.execute("ALTER TABLE generations_output ALTER COLUMN role TYPE varchar(201)")
        try:
            assert claim.claim(limit=1) == []
        finally:
            other.execute("ALTER TABLE generations_output ALTER COLUMN role TYPE varchar(200)")


@pytest.mark.only_postgresql
def test_a_server_that_accepts_a_connection_and_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As PgBouncer does while it has no connection to the server."""
    monkeypatch.setattr(timeouts, "ANSWER_SECONDS_MAX", 0.1)
    monkeypatch.setattr(timeouts, "_ASK_FOR_THE_PROCESS", b"SELECT pg_sleep(1)")

    with pytest.raises(psycopg.OperationalError, match="does not answer"):
        Connection.connect(url_of_the_test_database())
