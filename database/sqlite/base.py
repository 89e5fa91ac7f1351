"""Django's backend for SQLite, whose writers wait in a queue.

A transaction begins with BEGIN IMMEDIATE, so it waits before its first statement; a statement outside of transactions
waits as well. Both stand in the `WriteQueue` until SQLite has its lock free for them, and fail with `OperationalError`
("database is locked") when the time of the request (`database.timeouts`), or else the option `timeout`, is over.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from time import monotonic, sleep
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from database import timeouts
from database.sqlite.write_queue import PAUSE_SECONDS, WriteQueue, queue_of

# What takes SQLite's lock when no transaction runs. Any other such statement waits for the lock outside of the queue.
_WRITES = re.compile(r"\s*(BEGIN|INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP)\b", re.IGNORECASE)
_LOCKED = "database is locked"
# After some errors, such as a full disk, SQLite itself rolls the transaction back. Django does not notice, and would
# commit further statements of the block one by one.
_ROLLED_BACK = "the transaction was rolled back by SQLite after an error"
# SQLITE_BUSY_RECOVERY: another process repairs what a killed one has left, which takes milliseconds.
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY}


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to SQLite."""

    _turn: WriteQueue | None = None
    """The queue in which the connection has the turn."""

    @property
    def write_queue(self) -> WriteQueue | None:
        """The queue of the database; None in memory, where no other process writes."""
        return None if self.is_in_memory_db() else queue_of(str(self.settings_dict["NAME"]))

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        connection: sqlite3.Connection = super().get_new_connection(conn_params)
        # From now on `execute_in_turn` waits, because its limit differs from statement to statement.
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def create_cursor(self, name: str | None = None) -> Cursor:
        cursor: Cursor = self.connection.cursor(factory=lambda connection: Cursor(connection, self))
        return cursor

    def execute_in_turn(self, statement: str, execute: Callable[[], Any]) -> Any:
        """Call `execute` when it is the statement's turn. A transaction that it begins keeps the turn to its end.

        `execute` completes a statement outside of transactions, so that it is committed.
        """
        queue, started = self.write_queue, monotonic()
        deadline = started + timeouts.seconds_left(at_most=self.settings_dict["OPTIONS"]["timeout"])
        try:
            if self._turn is not None and not self.connection.in_transaction:
                raise sqlite3.OperationalError(_ROLLED_BACK)
            if queue is None or self.connection.in_transaction or not _WRITES.match(statement):
                return _repeat(execute, deadline)
            if not queue.enter(deadline):
                raise sqlite3.OperationalError(_LOCKED)
            self._turn = queue
            try:
                with queue.hold_process_lock(deadline) as has_lock:
                    if not has_lock:
                        raise sqlite3.OperationalError(_LOCKED)
                    result = _repeat(execute, deadline)
            finally:
                if not self.connection.in_transaction:
                    self._leave_queue()
            if not self.connection.in_transaction:
                self._wait_for_disk()
            return result
        finally:
            timeouts.spend(monotonic() - started)

    def _commit(self) -> None:
        # After an error the transaction still runs, and Django rolls it back.
        super()._commit()  # type: ignore[misc]
        if self._turn is not None:
            self._leave_queue()
            self._wait_for_disk()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._leave_queue()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._leave_queue()

    def _wait_for_disk(self) -> None:
        """Wait until what was committed is on the disk.

        `synchronous=FULL` would wait as well, but before other writers have their turns. Whatever they write meanwhile
        is behind it in the same file, so it is never on the disk without it.
        """
        try:
            # SQLite locks other files, so closing this one releases no lock. It exists as long as this connection,
            # unless the file system is one on which SQLite has no such file, and writes to the database itself.
            file = f"{self.settings_dict['NAME']}-wal"
            if not os.path.exists(file):
                file = self.settings_dict["NAME"]
            handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # macOS has fsync only.
                getattr(os, "fdatasync", os.fsync)(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise OperationalError(f"the commit may be lost: {error}") from error

    def _leave_queue(self) -> None:
        queue, self._turn = self._turn, None
        if queue is not None:
            queue.leave()


class Cursor(base.SQLiteCursorWrapper):
    """A cursor whose statements wait for their turn."""

    _returned: Iterator[Any] | None = None
    """What a statement outside of transactions has returned. Otherwise SQLite has the rows."""

    def __init__(self, connection: sqlite3.Connection, wrapper: DatabaseWrapper) -> None:
        super().__init__(connection)
        self._wrapper = wrapper

    def execute(self, query: str, params: Any = None) -> Any:
        def execute() -> Any:
            base.SQLiteCursorWrapper.execute(self, query, params)
            # SQLite commits a statement with RETURNING when its last row has been read.
            is_read = self.connection.in_transaction or not _WRITES.match(query)
            self._returned = None if is_read or self.description is None else iter(super(Cursor, self).fetchall())
            return self

        return self._wrapper.execute_in_turn(query, execute)

    def executemany(self, query: str, param_list: Iterable[Any]) -> Any:
        # It may be an iterator, and the statement may be repeated.
        rows = list(param_list)
        return self._wrapper.execute_in_turn(query, lambda: base.SQLiteCursorWrapper.executemany(self, query, rows))

    def fetchone(self) -> Any:
        return super().fetchone() if self._returned is None else next(self._returned, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        size = self.arraysize if size is None else size
        return super().fetchmany(size) if self._returned is None else list(islice(self._returned, size))

    def fetchall(self) -> list[Any]:
        return super().fetchall() if self._returned is None else list(self._returned)

    def __next__(self) -> Any:
        return super().__next__() if self._returned is None else next(self._returned)


def _repeat(execute: Callable[[], Any], deadline: float) -> Any:
    """Execute a statement until the database is not locked, or the deadline has come."""
    while True:
        try:
            return execute()
        except sqlite3.OperationalError as error:
            # The statement had no effect. Another error, such as SQLITE_BUSY_SNAPSHOT, is not one that passes.
            is_locked = getattr(error, "sqlite_errorcode", None) in _PASSING
            if not is_locked or monotonic() >= deadline:
                raise
        sleep(PAUSE_SECONDS)
