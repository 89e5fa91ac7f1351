"""The simulator's only storage: a SQLite log of everything that it received and did.

Every part of the simulator writes here before it answers. Tests and the chaos run read the log and wait for
conditions on it with `wait_until`. With a data directory the log outlives the process; without one it is in memory.
"""

# Table and column names come from the dataclasses of records.py, never from clients.
# ruff: noqa: S608

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from simulator.records import Callback, File, Post, Record, Request, Served, State, Visit

TABLES: dict[type[Any], str] = {
    Request: "requests",
    Post: "posts",
    Callback: "callbacks",
    File: "files",
    Served: "served",
    Visit: "visits",
}
INDEXES = (
    "posts (body_sha256)",
    "requests (state)",
    "requests (endpoint, accepted_at)",
    "callbacks (request_id)",
    "files (request_id)",
    "served (path)",
)
UNFINISHED: tuple[State, ...] = ("IN_QUEUE", "IN_PROGRESS")

R = TypeVar("R", Request, Post, Callback, File, Served, Visit)


class Log:
    """Thread-safe access to the tables. Every write makes `wait_until` evaluate its condition again."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the log at `path`, or in memory, and create missing tables."""
        # One connection for all threads, guarded by `_written`. Without an isolation level each statement commits.
        self._database = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        # WAL survives a killed process; with synchronous=NORMAL only a power cut can lose the last rows.
        self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        # Reentrant, because methods of the log are called inside `locked`.
        self._written = threading.Condition(threading.RLock())
        self._version = 0
        for record_type, table in TABLES.items():
            first, *others = (f.name for f in fields(record_type))
            # SQLite fills an INTEGER PRIMARY KEY with the next number; the other keys are text.
            key_type = "INTEGER" if first == "number" else "TEXT"
            columns = ", ".join([f"{first} {key_type} PRIMARY KEY", *others])
            self._database.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
        for target in INDEXES:
            name = "by_" + re.sub(r"\W+", "_", target)
            self._database.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {target}")

    # Reading

    def accepted(self, endpoint: str | None = None) -> list[Request]:
        """Return the requests that fal accepted, oldest first."""
        if endpoint is None:
            return self._select(Request, "1 ORDER BY rowid")
        return self._select(Request, "endpoint = ? ORDER BY rowid", endpoint)

    def request(self, request_id: str) -> Request | None:
        """Return the request with this id."""
        return next(iter(self._select(Request, "request_id = ?", request_id)), None)

    def accepted_between(self, endpoint: str, start: float, end: float) -> list[Request]:
        """Return the requests of an endpoint accepted in [start, end), oldest first."""
        return self._select(
            Request, "endpoint = ? AND accepted_at >= ? AND accepted_at < ? ORDER BY rowid", endpoint, start, end
        )

    def unfinished(self) -> list[Request]:
        """Return the requests that wait or run, oldest first."""
        return self._select(Request, "state != 'COMPLETED' ORDER BY rowid")

    def recent(self, count: int) -> list[Request]:
        """Return the latest requests, newest first."""
        return self._select(Request, "1 ORDER BY rowid DESC LIMIT ?", count)

    def posts(self, *, after: int = 0) -> list[Post]:
        """Return every POST to the submit API after this number, including those that were refused or dropped."""
        return self._select(Post, "number > ? ORDER BY number", after)

    def count_posts(self, body_sha256: str) -> int:
        """Return how many POSTs had this body."""
        with self._written:
            found = self._database.execute("SELECT count(*) FROM posts WHERE body_sha256 = ?", [body_sha256])
            return int(found.fetchone()[0])

    def callbacks(self, request_id: str | None = None) -> list[Callback]:
        """Return every attempt to deliver a callback, oldest first."""
        if request_id is None:
            return self._select(Callback, "1 ORDER BY number")
        return self._select(Callback, "request_id = ? ORDER BY number", request_id)

    def files(self, request_id: str | None = None) -> list[File]:
        """Return the output files, with the SHA-256 of their correct content."""
        if request_id is None:
            return self._select(File, "1 ORDER BY rowid")
        return self._select(File, "request_id = ? ORDER BY position", request_id)

    def file(self, path: str) -> File | None:
        """Return the output file at this path."""
        return next(iter(self._select(File, "path = ?", path)), None)

    def served(self, path: str | None = None) -> list[Served]:
        """Return every response of the file server, oldest first."""
        if path is None:
            return self._select(Served, "1 ORDER BY number")
        return self._select(Served, "path = ? ORDER BY number", path)

    def visits(self) -> list[Visit]:
        """Return every request to the canary host. Empty if the client under test is careful."""
        return self._select(Visit, "1 ORDER BY number")

    # Writing

    def add(self, record: Record) -> None:
        """Insert a record. A record with the same key is replaced."""
        row = {f.name: _to_column(f, getattr(record, f.name)) for f in fields(record)}
        if row.get("number") == 0:
            # SQLite numbers the row.
            del row["number"]
        marks = ", ".join("?" * len(row))
        self._write(f"INSERT OR REPLACE INTO {TABLES[type(record)]} ({', '.join(row)}) VALUES ({marks})", row.values())

    def update_request(self, request_id: str, *, only_from: tuple[State, ...], **changes: Any) -> Request | None:
        """Change a request if its state is one of `only_from`. Returns the changed request, else None."""
        columns = {f.name: f for f in fields(Request)}
        with self._written:
            request = self.request(request_id)
            # Checked and changed under one lock: of two threads that complete a job, one gets None.
            if request is None or request.state not in only_from:
                return None
            setting = ", ".join(f"{name} = ?" for name in changes)
            values = [_to_column(columns[name], value) for name, value in changes.items()]
            self._write(f"UPDATE requests SET {setting} WHERE request_id = ?", [*values, request_id])
            return replace(request, **changes)

    def age_requests(self, seconds: float, *, webhook_url: str) -> None:
        """Move the submission of every request with a callback below this URL into the past."""
        pattern = webhook_url.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
        statement = "UPDATE requests SET accepted_at = accepted_at - ? WHERE webhook_url LIKE ? ESCAPE '!'"
        self._write(statement, (seconds, pattern))

    def delete_payloads(self, request_id: str) -> None:
        """Delete the inputs, the answer and the files of a request. The request stays, and stays billed."""
        with self._written:
            self._write("UPDATE requests SET inputs = ?, answer = ? WHERE request_id = ?", ["null", "null", request_id])
            self._write("DELETE FROM files WHERE request_id = ?", [request_id])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude all other readers and writers for the duration of the block."""
        with self._written:
            yield

    def clear(self) -> None:
        """Delete all records."""
        for table in TABLES.values():
            self._write(f"DELETE FROM {table}", ())

    def close(self) -> None:
        """Close the database. Later calls fail."""
        with self._written:
            self._database.close()

    # Waiting

    def wait_until(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Evaluate `predicate` now and after each write. Returns whether it became true within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            version = self._version
            # Called without the lock, because the predicate may call the simulator over HTTP.
            if predicate():
                return True
            with self._written:
                while self._version == version and (left := deadline - time.monotonic()) > 0:
                    self._written.wait(left)
                timed_out = self._version == version
            if timed_out:
                return bool(predicate())

    def notify(self) -> None:
        """Make `wait_until` evaluate its condition again, after a change that is not a record."""
        with self._written:
            self._version += 1
            self._written.notify_all()

    def _write(self, statement: str, values: Iterable[Any]) -> None:
        with self._written:
            self._database.execute(statement, tuple(values))
            self.notify()

    def _select(self, record_type: type[R], condition: str, *values: Any) -> list[R]:
        with self._written:
            rows = self._database.execute(f"SELECT * FROM {TABLES[record_type]} WHERE {condition}", values).fetchall()
        records = []
        for row in rows:
            columns: dict[str, Any] = dict(row)
            for field in fields(record_type):
                if field.metadata.get("json"):
                    columns[field.name] = json.loads(columns[field.name])
                elif field.type == "bool":
                    # SQLite stores booleans as 0 and 1. Annotations are text here.
                    columns[field.name] = bool(columns[field.name])
            records.append(record_type(**columns))
        return records


def _to_column(column: Field[Any], value: Any) -> Any:
    return json.dumps(value) if column.metadata.get("json") else value
