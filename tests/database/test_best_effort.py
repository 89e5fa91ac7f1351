"""A non-essential write gives up after a short wait, and never hides that the database is unreachable."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, OperationalError, connection
from psycopg_pool import PoolTimeout

from database import best_effort, timeouts
from tests.helpers.database_guards import locked

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def group(db: None) -> Group:
    return Group.objects.create(name="painters")


def rename(group: Group) -> int:
    return Group.objects.filter(pk=group.pk).update(name="sculptors")


def test_a_write_is_committed_and_its_result_returned(group: Group) -> None:
    assert best_effort.try_write(lambda: rename(group), default=0) == 1

    assert Group.objects.get().name == "sculptors"


def test_a_write_to_a_locked_row_is_skipped(group: Group, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    with locked(group):
        assert best_effort.try_write(lambda: rename(group), default=-1) == -1

    assert Group.objects.get().name == "painters"
    assert "skipped a non-essential write" in caplog.text


def test_a_skipped_write_leaves_the_connection_usable(group: Group) -> None:
    with locked(group):
        best_effort.try_write(lambda: rename(group), default=-1)

    assert rename(group) == 1


@pytest.mark.once
def test_the_short_limit_belongs_to_the_write_alone_on_sqlite(group: Group) -> None:
    """A later write of the same request waits for its turn."""
    with timeouts.limited(20):
        assert best_effort.try_write(lambda: timeouts.seconds_left(at_most=20), default=20.0) <= 0.25

        assert timeouts.seconds_left(at_most=20) > 0.25


def test_a_write_that_the_database_refuses_is_rolled_back_and_skipped(group: Group) -> None:
    def write() -> int:
        Group.objects.create(name="sculptors")
        Group.objects.create(name="painters")
        return 2

    assert best_effort.try_write(write, default=0) == 0

    assert Group.objects.get() == group
    with pytest.raises(IntegrityError):  # Negative control: without `try_write` the same write is an error.
        write()


@pytest.mark.only_postgresql
def test_an_unreachable_database_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that went on would wait for a connection a second time."""

    def refuse(parameters: object) -> None:
        raise PoolTimeout("couldn't get a connection after 4.00 sec")

    connection.close()
    with monkeypatch.context() as unreachable:
        unreachable.setattr(connection, "get_new_connection", refuse)
        with pytest.raises((OperationalError, PoolTimeout)):
            best_effort.try_write(lambda: None, default=None)
