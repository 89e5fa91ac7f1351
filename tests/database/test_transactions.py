"""A transaction that PostgreSQL has ended because of another one is repeated, and no other one is."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, InternalError, OperationalError, connection, transaction
from psycopg import errors
from psycopg_pool import PoolTimeout

from database import transactions
from tests.helpers.locks import another_session

PASSING = [
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.AdminShutdown,
    errors.IdleInTransactionSessionTimeout,
    psycopg.OperationalError,
]
LASTING = [errors.QueryCanceled, errors.DiskFull, errors.TooManyConnections, errors.ConnectionTimeout, PoolTimeout]


def raising(cause: type[Exception], *, times: int) -> Callable[[], str]:
    """A transaction that creates a group, and raises as often as this before it succeeds."""
    left = [None] * times

    def write() -> str:
        Group.objects.create(name=f"attempt {len(left)}")
        if left:
            left.pop()
            raise OperationalError("ended") from cause("ended")
        return "done"

    return write


@pytest.mark.django_db(transaction=True)
class TestOutermost:
    @pytest.mark.parametrize("cause", PASSING)
    def test_a_transaction_is_repeated_after_an_error_that_passes(self, cause: type[Exception]) -> None:
        assert transactions.repeat(raising(cause, times=transactions.TIMES - 1)) == "done"

        assert [group.name for group in Group.objects.all()] == ["attempt 0"]

    @pytest.mark.parametrize("cause", PASSING)
    def test_the_error_is_raised_if_it_does_not_pass(self, cause: type[Exception]) -> None:
        with pytest.raises(OperationalError, match="ended"):
            transactions.repeat(raising(cause, times=transactions.TIMES))

        assert not Group.objects.exists()

    @pytest.mark.parametrize("cause", LASTING)
    def test_an_error_that_lasts_is_raised_at_once(self, cause: type[Exception]) -> None:
        with pytest.raises(OperationalError, match="ended"):
            transactions.repeat(raising(cause, times=1))

    @pytest.mark.parametrize("error", [IntegrityError, InternalError])
    def test_another_error_is_raised_at_once(self, error: type[Exception]) -> None:
        attempts: list[None] = []

        @transactions.repeated
        def write() -> None:
            attempts.append(None)
            raise error("no")

        with pytest.raises(error):
            write()

        assert len(attempts) == 1

    @pytest.mark.only_postgresql
    def test_a_transaction_whose_connection_was_closed_is_repeated(self) -> None:
        killed: list[int] = []

        def write() -> None:
            Group.objects.create(name="painters")
            if not killed:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    killed.extend(cursor.fetchone())
                with another_session() as session:
                    session.execute("SELECT pg_terminate_backend(%s)", killed)
            Group.objects.create(name="sculptors")

        transactions.repeat(write)

        assert Group.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_within_another_transaction_nothing_is_repeated() -> None:
    with pytest.raises(OperationalError, match="ended"), transaction.atomic():
        transactions.repeat(raising(errors.DeadlockDetected, times=1))


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestForeignKeys:
    def statement_that_fails(self) -> str:
        """Whether the foreign key of a row without its parent is checked by its INSERT or by COMMIT."""
        place = "INSERT"
        try:
            with transaction.atomic():
                Group.permissions.through.objects.create(group_id=1, permission_id=1)
                place = "COMMIT"
        except IntegrityError:
            return place
        return ""

    def test_are_checked_with_each_statement_within_the_block(self) -> None:
        with transactions.foreign_keys_checked_at_once():
            assert self.statement_that_fails() == "INSERT"

    def test_are_checked_in_commit_otherwise(self) -> None:
        """Negative control."""
        assert self.statement_that_fails() == "COMMIT"
