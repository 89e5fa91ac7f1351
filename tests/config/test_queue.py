"""The queue behind Django Tasks: signed messages, and how its consumer waits in each kind of storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from huey.api import Huey
from huey.serializer import Serializer

from config import queue
from tests.conftest import url_of_the_test_database
from tests.services.pgbouncer import pgbouncer
from tests.services.waiting import HANG_SECONDS, until

SECRET_KEY = "the key of the processes of one site"


def open_queue(secret_key: str = SECRET_KEY, *, redis_url: str = "", database_url: str = "", file: str = "") -> Huey:
    options = queue.options(secret_key, redis_url=redis_url, database_url=database_url, sqlite_file=file)
    del options["huey_class"]
    return Huey(options.pop("name"), **options)


class CreatesFolder:
    """Its pickle creates a folder when it is read, as a stranger's pickle could do anything else."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def huey(tmp_path: Path) -> Huey:
    return open_queue(file=str(tmp_path / "queue.sqlite3"))


# --- Signatures ---


@pytest.mark.once
@pytest.mark.parametrize("is_signed", [False, True])
def test_a_strangers_pickle_is_refused_and_not_read(huey: Huey, tmp_path: Path, is_signed: bool) -> None:
    """One without a signature, and one with the signature of another key."""
    stranger = open_queue("another key", file=str(tmp_path / "other.sqlite3"))
    serializer = stranger.serializer if is_signed else Serializer()
    huey.storage.enqueue(serializer.serialize(CreatesFolder(tmp_path / "created")))

    with pytest.raises(ValueError, match=r"mismatch|not found"):
        huey.dequeue()

    assert not (tmp_path / "created").exists()
    assert huey.pending_count() == 0


@pytest.mark.once
def test_with_a_valid_signature_the_pickle_would_be_read(huey: Huey, tmp_path: Path) -> None:
    """Negative control."""
    huey.storage.enqueue(huey.serializer.serialize(CreatesFolder(tmp_path / "created")))

    huey.serializer.deserialize(huey.storage.dequeue())

    assert (tmp_path / "created").exists()


@pytest.mark.once
def test_the_key_of_the_signatures_is_not_the_secret_key_itself(huey: Huey) -> None:
    assert SECRET_KEY.encode() not in huey.serializer.secret


# --- Kinds of storage ---


@pytest.mark.once
@pytest.mark.parametrize("is_in_redis", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_message_arrives_and_nothing_is_kept(tmp_path: Path, request: Any, is_in_redis: bool) -> None:
    url = request.getfixturevalue("redis_url") if is_in_redis else ""
    huey = open_queue(redis_url=url, file=str(tmp_path / "queue.sqlite3"))
    received: list[int] = []
    task = huey.task()(received.append)

    task(7)
    huey.execute(huey.dequeue())

    assert (received, huey.pending_count(), huey.result_count()) == ([7], 0, 0)


@pytest.mark.once
def test_a_consumer_receives_messages_after_one_that_was_refused(huey: Huey, tmp_path: Path) -> None:
    received: list[int] = []
    task = huey.task()(received.append)
    huey.storage.enqueue(b"a message of a stranger")
    task(7)
    worker, _ = queue.consumer(huey).worker_threads[0]

    worker.loop()
    worker.loop()

    assert received == [7]


@pytest.mark.once
def test_a_consumer_that_starts_discards_what_has_collected(huey: Huey) -> None:
    task = huey.task()(bool)
    for _ in range(3):
        task(7)
    worker, _ = queue.consumer(huey).worker_threads[0]

    worker.initialize()

    assert huey.pending_count() == 0


@pytest.fixture
def postgresql_queue(transactional_db: None) -> Iterator[Callable[[str], Huey]]:
    """`postgresql_queue(url)`: the queue in the database of the test, which is empty."""
    with ExitStack() as opened:

        def open_empty(url: str) -> Huey:
            huey = open_queue(database_url=url)
            opened.callback(huey.storage.close)
            huey.storage.flush_queue()
            return huey

        yield open_empty


@pytest.mark.only_postgresql
def test_a_notification_ends_the_wait_of_the_consumer(postgresql_queue: Callable[[str], Huey]) -> None:
    """Without it, the consumer would look at the table only after the test has failed."""
    url = url_of_the_test_database()
    huey = postgresql_queue(url)
    huey.storage.read_timeout = 10 * HANG_SECONDS

    with ThreadPoolExecutor(1) as pool, psycopg.connect(url, autocommit=True) as observer:
        message = pool.submit(huey.storage.dequeue)
        query = "SELECT 1 FROM pg_stat_activity WHERE query ILIKE 'listen%' AND state = 'idle'"
        until(lambda: observer.execute(query).fetchone(), what="a consumer that listens")
        huey.storage.enqueue(b"message")
        assert message.result(HANG_SECONDS) == b"message"
        pool.submit(huey.storage.close).result()

    assert huey.storage.blocking


@pytest.mark.only_postgresql
def test_behind_pgbouncer_the_queue_is_polled(
    postgresql_queue: Callable[[str], Huey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In transaction mode, notifications do not reach the consumer."""
    monkeypatch.setattr(queue, "NOTIFICATION_SECONDS_MAX", 0.1)
    with pgbouncer(url_of_the_test_database()) as url:
        huey = postgresql_queue(url)
        huey.storage.read_timeout = 0.1

        assert huey.storage.dequeue() is None
        huey.storage.enqueue(b"message")
        assert huey.storage.dequeue() == b"message"

    assert not huey.storage.blocking  # So the consumer pauses between two looks.


@pytest.mark.only_postgresql
def test_behind_pgbouncer_processes_prepare_no_statements(
    postgresql_queue: Callable[[str], Huey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In transaction mode they share connections, and each would find the prepared statements of the others."""
    monkeypatch.setattr(queue, "NOTIFICATION_SECONDS_MAX", 0.1)
    with pgbouncer(url_of_the_test_database()) as url:
        processes = [postgresql_queue(url) for _ in range(2)]

        # psycopg prepares what it has executed a few times.
        received = [huey.storage.dequeue() for _ in range(10) for huey in processes]

    assert received == [None] * 20
