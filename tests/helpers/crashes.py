"""Workers that die or raise while they hold a row."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from botocore.exceptions import EndpointConnectionError
from django.db import IntegrityError, InterfaceError, InternalError, OperationalError
from psycopg import errors
from psycopg_pool import PoolTimeout

from generations.jobs import leases
from generations.jobs.leased_model import Leased
from tests.helpers.clocks import just_passed

LAST = leases.CRASHES_MAX


def expire_leases(rows: type[Leased]) -> None:
    """Makes every row due and every lease run out, as if its worker had died."""
    past = just_passed()
    rows._default_manager.filter(lease__isnull=False).update(leased_until=past)
    rows._default_manager.filter(next_attempt_at__isnull=False).update(next_attempt_at=past)


def crash(*args: object, **options: object) -> None:
    raise RuntimeError("an error in Limn")


def run(worker: Callable[..., int], rows: type[Leased], *, times: int) -> None:
    """Runs the worker, each time after the leases of the time before have run out."""
    for _ in range(times):
        expire_leases(rows)
        worker(limit=10)


def let_workers_die(rows: type[Leased], *, times: int = LAST) -> None:
    """Makes every row that is due look as if this many workers in a row had died while they held it."""
    due = rows._default_manager.filter(next_attempt_at__isnull=False)
    due.update(lease=uuid4(), crashes=times - 1)
    expire_leases(rows)


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


TROUBLE = [
    caused_by(OperationalError("the row is locked"), errors.LockNotAvailable()),
    caused_by(OperationalError("a deadlock"), errors.DeadlockDetected()),
    caused_by(OperationalError("it takes too long"), errors.QueryCanceled()),
    caused_by(OperationalError("too many connections"), errors.TooManyConnections()),
    caused_by(OperationalError("the disk is full"), errors.DiskFull()),
    caused_by(InternalError("read-only"), errors.ReadOnlySqlTransaction()),
    InterfaceError("the connection is closed"),
    PoolTimeout("no connection"),
    IntegrityError("a constraint"),
    EndpointConnectionError(endpoint_url="http://storage"),
    OSError(28, "No space left on device"),
    RuntimeError("an error in Limn"),
]
