"""Runs functions in several threads that start together, for tests of races."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL

from credits.ledger import LedgerError
from tests.services.waiting import HANG_SECONDS, until

Result = TypeVar("Result")


def at_once(count: int, act: Callable[[int], Result]) -> list[Result]:
    """Call `act(0)`, `act(1)` … in as many threads that start together. An error of any call is raised."""
    start = Barrier(count)

    def run(number: int) -> Result:
        try:
            start.wait(HANG_SECONDS)
            return act(number)
        finally:
            # Each thread has connections of its own, which nothing else would close.
            connections.close_all()

    with _open_connections(count), ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


@contextmanager
def _open_connections(count: int) -> Iterator[None]:
    """Open connections to PostgreSQL beforehand. On a loaded machine that takes longer than a request waits for one."""
    database = connections[DEFAULT_DB_ALIAS]
    if not isinstance(database, PostgreSQL):
        yield
        return
    count, pool = min(count, 8), database.pool
    # One more for the thread of the test.
    pool.resize(count + 1, pool.max_size)
    until(lambda: pool.get_stats()["pool_available"] >= count, what=f"{count} connections")
    try:
        yield
    finally:
        # The pool would keep them for minutes, and all workers of pytest together may open 200.
        if not database.in_atomic_block:
            database.close()
            database.close_pool()


@contextmanager
def in_background(act: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Call `act` in a thread while the block runs, and wait for its end after the block. An error of it is raised."""

    def run() -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(run)
        yield future
        future.result(HANG_SECONDS)


def race(*runners: Callable[[], Any]) -> list[Any]:
    """Call all functions at once. Returns what each returned, or the error of the ledger or the database it raised."""

    def run(number: int) -> Any:
        try:
            return runners[number]()
        except (LedgerError, DatabaseError) as refusal:
            return refusal

    return at_once(len(runners), run)


def refusals(results: Sequence[Any]) -> list[type[Exception]]:
    """The classes of the errors among the results of a race."""
    return [type(result) for result in results if isinstance(result, Exception)]
