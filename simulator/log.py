"""The simulator's only memory: everything it saw and did, in SQLite, told to whoever waits."""

# Table and column names come from our own records, never from outside.
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
    """Queries, one way to add, one way to change. Every write wakes `wait_until`."""

    def __init__(self, path: Path | None = None) -> None:
        self._database = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        # WAL survives the end of the process, however it comes; only a power cut could lose the last lines.
        self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        self._written = threading.Condition(threading.RLock())
        self._version = 0
        for record_type, table in TABLES.items():
            self._database.execute(f"CREATE TABLE IF NOT EXISTS {table} ({_columns(record_type)})")
        for place in INDEXES:
            name = "by_" + re.sub(r"\W+", "_", place)
            self._database.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {place}")

    # Reading

    def accepted(self, endpoint: str | None = None) -> list[Request]:
        """The jobs that fal took on, oldest first."""
        if endpoint is None:
            return self._select(Request, "1 ORDER BY rowid")
        return self._select(Request, "endpoint = ? ORDER BY rowid", endpoint)

    def request(self, request_id: str) -> Request | None:
        return next(iter(self._select(Request, "request_id = ?", request_id)), None)

    def accepted_between(self, endpoint: str, start: float, end: float) -> list[Request]:
        """Those of one endpoint and one span of time, oldest first."""
        return self._select(
            Request, "endpoint = ? AND accepted_at >= ? AND accepted_at < ? ORDER BY rowid", endpoint, start, end
        )

    def unfinished(self) -> list[Request]:
        return self._select(Request, "state != 'COMPLETED' ORDER BY rowid")

    def recent(self, count: int) -> list[Request]:
        """The newest first."""
        return self._select(Request, "1 ORDER BY rowid DESC LIMIT ?", count)

    def posts(self) -> list[Post]:
        """Every POST on a submit path, refused and dropped ones included."""
        return self._select(Post, "1 ORDER BY number")

    def posts_of_body(self, body_sha256: str) -> int:
        """How often this very wish has been posted."""
        with self._written:
            found = self._database.execute("SELECT count(*) FROM posts WHERE body_sha256 = ?", [body_sha256])
            return int(found.fetchone()[0])

    def callbacks(self, request_id: str | None = None) -> list[Callback]:
        """Each delivery attempt, with the answer it got."""
        if request_id is None:
            return self._select(Callback, "1 ORDER BY number")
        return self._select(Callback, "request_id = ? ORDER BY number", request_id)

    def files(self, request_id: str | None = None) -> list[File]:
        """The outputs on the CDN, with the SHA-256 of their true bytes."""
        if request_id is None:
            return self._select(File, "1 ORDER BY rowid")
        return self._select(File, "request_id = ? ORDER BY position", request_id)

    def file(self, path: str) -> File | None:
        return next(iter(self._select(File, "path = ?", path)), None)

    def served(self, path: str | None = None) -> list[Served]:
        """Each answer of the CDN."""
        if path is None:
            return self._select(Served, "1 ORDER BY number")
        return self._select(Served, "path = ? ORDER BY number", path)

    def visits(self) -> list[Visit]:
        """Who called the canary: empty, if the client is careful."""
        return self._select(Visit, "1 ORDER BY number")

    # Writing

    def add(self, record: Record) -> None:
        """Keep a record; one with the same key gives way."""
        row = {f.name: _stored(f, getattr(record, f.name)) for f in fields(record)}
        if row.get("number") == 0:
            del row["number"]
        marks = ", ".join("?" * len(row))
        self._write(f"INSERT OR REPLACE INTO {TABLES[type(record)]} ({', '.join(row)}) VALUES ({marks})", row.values())

    def change(self, request_id: str, *, only_from: tuple[State, ...], **changes: Any) -> Request | None:
        """Move a request on, if it is still in one of these states; else None."""
        known = {f.name: f for f in fields(Request)}
        with self._written:
            request = self.request(request_id)
            if request is None or request.state not in only_from:
                return None
            setting = ", ".join(f"{name} = ?" for name in changes)
            values = [_stored(known[name], value) for name, value in changes.items()]
            self._write(f"UPDATE requests SET {setting} WHERE request_id = ?", [*values, request_id])
            return replace(request, **changes)

    def forget(self, request_id: str) -> None:
        """What was asked and made is gone; that it was asked, and billed, stays."""
        with self._written:
            self._write("UPDATE requests SET inputs = ?, answer = ? WHERE request_id = ?", ["null", "null", request_id])
            self._write("DELETE FROM files WHERE request_id = ?", [request_id])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Nobody reads between the writes of this block."""
        with self._written:
            yield

    def clear(self) -> None:
        for table in TABLES.values():
            self._write(f"DELETE FROM {table}", ())

    def close(self) -> None:
        with self._written:
            self._database.close()

    # Waiting

    def wait_until(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Whether the predicate came true in time. It is asked again after each write, never on a clock."""
        deadline = time.monotonic() + timeout
        while True:
            seen = self._version
            # Asked without the lock: a predicate may call the simulator itself, over its socket.
            if predicate():
                return True
            if not self._wait_for_news(seen, deadline - time.monotonic()):
                return bool(predicate())

    def notify(self) -> None:
        """Let those who wait look again: something happened that is no record."""
        with self._written:
            self._version += 1
            self._written.notify_all()

    def _wait_for_news(self, seen: int, seconds: float) -> bool:
        with self._written:
            return self._written.wait_for(lambda: self._version != seen, timeout=max(seconds, 0))

    def _write(self, statement: str, values: Iterable[Any]) -> None:
        with self._written:
            self._database.execute(statement, tuple(values))
            self.notify()

    def _select(self, record_type: type[R], condition: str, *values: Any) -> list[R]:
        with self._written:
            rows = self._database.execute(f"SELECT * FROM {TABLES[record_type]} WHERE {condition}", values).fetchall()
        return [_record(record_type, row) for row in rows]


def _columns(record_type: type[Any]) -> str:
    first, *others = (f.name for f in fields(record_type))
    # An INTEGER PRIMARY KEY counts by itself; the other keys are words.
    kind = "INTEGER" if first == "number" else "TEXT"
    return ", ".join([f"{first} {kind} PRIMARY KEY", *others])


def _stored(column: Field[Any], value: Any) -> Any:
    return json.dumps(value) if column.metadata.get("json") else value


def _record(record_type: type[R], row: sqlite3.Row) -> R:
    return record_type(**{f.name: _loaded(f, row[f.name]) for f in fields(record_type)})


def _loaded(column: Field[Any], value: Any) -> Any:
    if column.metadata.get("json"):
        return json.loads(value)
    return bool(value) if column.type == "bool" else value
