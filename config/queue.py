"""The queue behind Django Tasks: Huey in PostgreSQL, in Redis or in a SQLite file of its own, for hints only.

`generations.workers.tasks` sends a message to wake a loop of `manage.py work`. Losing one is harmless, so nothing here
waits for a disk, and nothing is kept about a message after it was received. Huey is compared with other engines in
docs/decisions/0006-measured-parts.md.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from time import monotonic
from typing import Any

import psycopg
from django.db import connections
from django.utils.crypto import salted_hmac
from huey.api import Huey
from huey.constants import EmptyData
from huey.consumer import Consumer
from huey.serializer import SignedSerializer
from huey.storage import PostgresStorage, RedisStorage, SqliteStorage

logger = logging.getLogger(__name__)

ENQUEUE = """
WITH stored AS (INSERT INTO huey_task (queue, data) VALUES (%s, %s) RETURNING id)
SELECT pg_notify(%s, '') FROM stored
"""

# How long the consumer waits for a message before it looks at the table itself, for a notification that was lost.
READ_SECONDS = 5
# A SQLite file cannot notify its readers, so it is polled this often. More often would cost 1 % of a core.
POLL_SECONDS = 0.05
# Otherwise the queue is polled only while it is unavailable, or cannot notify. The pauses grow up to this.
POLL_SECONDS_MAX = 5.0
# A notification of this process itself takes milliseconds.
NOTIFICATION_SECONDS_MAX = 3.0
# If it does not arrive, the queue is polled for this time.
CHECK_AGAIN_SECONDS = 600.0


def options(secret_key: str, *, redis_url: str, database_url: str, sqlite_file: str) -> dict[str, Any]:
    """Return the setting HUEY for the queue in Redis, in PostgreSQL (`database_url`) or else in a file."""
    # Messages are pickles. The signature lets only processes with the same SECRET_KEY send them.
    secret = salted_hmac("limn.queue", "messages", secret=secret_key, algorithm="sha256").hexdigest()
    setting: dict[str, Any] = {
        "name": "limn",
        "huey_class": "huey.Huey",
        "immediate": False,
        "results": False,
        "serializer": SignedSerializer(secret=secret, salt="limn.queue"),
    }
    if redis_url:
        return setting | {"storage_class": RedisQueue, "url": redis_url, "read_timeout": READ_SECONDS}
    if database_url:
        return setting | {
            "storage_class": PostgresQueue,
            "dsn": database_url,
            "read_timeout": READ_SECONDS,
            "connect_timeout": 3,
            # Behind PgBouncer in transaction mode, processes would find each other's prepared statements, or none.
            "prepare_threshold": None,
            # A server that does not answer is given up, and connected to again.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 30,
            # `migrate` creates them. Huey would do it at import, which fails in an outage.
            "create_tables": False,
        }
    return setting | {"storage_class": SqliteQueue, "filename": sqlite_file, "timeout": 20}


def create_tables(*, using: str, **kwargs: Any) -> None:
    """Create Huey's tables after `migrate`, if the queue is in PostgreSQL. Connected to `post_migrate`.

    Unlogged tables cost no write to the disk for a message. A crash of the server empties them.
    """
    from huey.contrib.djhuey import HUEY  # noqa: PLC0415  (reads the settings; apps are loaded only now)

    if isinstance(HUEY.storage, PostgresStorage) and connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            for statement in HUEY.storage.ddl:
                cursor.execute(statement.replace("create table", "create unlogged table"))


def consumer(huey: Huey) -> Consumer:
    """Return the consumer for `manage.py work`: one thread that receives messages. There are no periodic tasks."""
    # Messages may have collected while no consumer ran. Loops that start look at their tables anyway.
    huey.on_startup("discard")(huey.storage.flush_queue)
    delays = {"initial_delay": POLL_SECONDS, "max_delay": huey.storage.poll_seconds_max}
    return Consumer(huey, workers=1, periodic=False, scheduler_interval=60, **delays)


class _WithoutResults:
    """Keeps neither results nor revocations, which Huey would write and look up for each message."""

    def put_data(self, key: str, value: bytes, is_result: bool = False) -> None:
        pass

    def peek_data(self, key: str) -> Any:
        return EmptyData

    def peek_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {}

    def pop_data(self, key: str) -> Any:
        return EmptyData


class RedisQueue(_WithoutResults, RedisStorage):  # type: ignore[misc]
    """A list in Redis. The consumer waits with BRPOP."""

    poll_seconds_max = POLL_SECONDS_MAX


class SqliteQueue(_WithoutResults, SqliteStorage):  # type: ignore[misc]
    """A table in a SQLite file. The consumer polls it, and writes only if there is a message."""

    poll_seconds_max = POLL_SECONDS

    def _create_connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._create_connection()
        # In WAL mode this waits for the disk at checkpoints only.
        connection.execute("pragma synchronous=normal")
        return connection


class PostgresQueue(_WithoutResults, PostgresStorage):  # type: ignore[misc]
    """A table in PostgreSQL. The consumer waits with LISTEN, where that works."""

    poll_seconds_max = POLL_SECONDS_MAX
    _polls_until = 0.0

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        """Store a message and notify the consumers, with one statement instead of Huey's four."""
        with self.db() as cursor:
            cursor.execute(ENQUEUE, (self.name, data, self.channel))

    def dequeue(self) -> bytes | None:
        """Return the next message; None if there is none, after a wait if notifications arrive."""
        self.blocking = monotonic() >= self._polls_until
        if self.blocking:
            # Before the table is read, so that each later message is notified to a connection that listens.
            self._listen_conn()
            self.blocking = monotonic() >= self._polls_until
        message: bytes | None = super().dequeue()
        return message

    def _listen_conn(self) -> psycopg.Connection[Any]:
        """Return the connection that listens. If it is new, check that notifications arrive, and poll otherwise.

        They do not behind PgBouncer in transaction mode, where LISTEN reaches some server connection for a moment.
        """
        listening: psycopg.Connection[Any] = super()._listen_conn()
        is_checked: bool = getattr(self._listen_local, "checked", None) is listening
        if is_checked:
            return listening
        with self.db() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", (self.channel,))
        if list(listening.notifies(timeout=NOTIFICATION_SECONDS_MAX, stop_after=1)):
            self._listen_local.checked = listening
        else:
            logger.info("PostgreSQL's notifications do not arrive; the queue is polled instead")
            self._polls_until = monotonic() + CHECK_AGAIN_SECONDS
        return listening
