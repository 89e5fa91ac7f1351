"""Triggers refuse exactly the writes they name, on both databases, and can be dropped and created again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.db import IntegrityError, connection, transaction

from database.triggers import CreateTrigger, Trigger, append_only, final
from tests.helpers.database_guards import execute

# A quote and a percent sign: both have a meaning in SQL or in its placeholders.
MESSAGE = "A job's row stays, at 100 %."
APPEND_ONLY = append_only("jobs", message=MESSAGE)
FINAL = final("jobs", columns=("state", "credits"), only_when="OLD.state = 'done'", message=MESSAGE)


@pytest.fixture(autouse=True)
def jobs(db: None) -> None:
    """A table with one running job and one finished job whose price is unknown."""
    execute("CREATE TABLE jobs (id integer PRIMARY KEY, state text, credits integer, note text)")
    execute("INSERT INTO jobs VALUES (1, 'running', 5, ''), (2, 'done', NULL, '')")


def create(trigger: Trigger) -> None:
    CreateTrigger(trigger).database_forwards("", connection.SchemaEditorClass(connection), None, None)


def drop(trigger: Trigger) -> None:
    CreateTrigger(trigger).database_backwards("", connection.SchemaEditorClass(connection), None, None)


def assert_refused(statements: Sequence[str]) -> None:
    for statement in statements:
        with pytest.raises(IntegrityError, match=MESSAGE), transaction.atomic():
            execute(statement)


def test_rows_of_an_append_only_table_are_inserted_but_not_changed_or_deleted() -> None:
    create(APPEND_ONLY)

    execute("INSERT INTO jobs VALUES (3, 'running', 5, '')")
    assert_refused(
        [
            "UPDATE jobs SET note = 'new' WHERE id = 1",
            "UPDATE jobs SET note = note",
            "DELETE FROM jobs WHERE id = 2",
            "DELETE FROM jobs",
        ]
    )


@pytest.mark.only_postgresql
def test_an_append_only_table_is_not_truncated() -> None:
    create(APPEND_ONLY)

    assert_refused(["TRUNCATE jobs"])


def test_final_columns_keep_their_values_once_the_condition_holds() -> None:
    create(FINAL)

    assert_refused(
        [
            "UPDATE jobs SET state = 'running' WHERE id = 2",
            "UPDATE jobs SET credits = 7 WHERE id = 2",  # From NULL, which no = and no <> compares.
            "UPDATE jobs SET state = NULL",
        ]
    )


def test_final_columns_leave_all_other_writes_alone() -> None:
    create(FINAL)

    execute(
        "UPDATE jobs SET note = 'new', credits = NULL WHERE id = 2",
        "UPDATE jobs SET state = 'done', credits = 7 WHERE id = 1",
        "DELETE FROM jobs",
    )

    with connection.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


@pytest.mark.parametrize("trigger", [APPEND_ONLY, FINAL], ids=lambda trigger: trigger.name)
def test_a_trigger_can_be_replaced_and_dropped(trigger: Trigger) -> None:
    """The last line is the negative control: without the trigger the database accepts the same statement."""
    change = "UPDATE jobs SET credits = 7 WHERE id = 2"
    create(trigger)
    create(trigger)
    assert_refused([change])

    drop(trigger)
    drop(trigger)
    execute(change)
