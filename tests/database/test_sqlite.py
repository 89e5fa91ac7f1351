"""Those who write to SQLite wait in a queue, and those that have waited too long fail."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from database import timeouts
from database.sqlite.base import DatabaseWrapper, _repeat
from database.sqlite.write_queue import WriteQueue
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.once


def soon() -> float:
    return monotonic() + HANG_SECONDS


# --- The queue ---


@pytest.fixture
def queue(tmp_path: Path) -> WriteQueue:
    return WriteQueue(tmp_path / "queue")


def test_threads_have_their_turns_in_the_order_in_which_they_came(queue: WriteQueue) -> None:
    came: list[int] = []

    def write(number: int) -> None:
        assert queue.enter(soon())
        came.append(number)
        queue.leave()

    def waits(threads: int) -> bool:
        return len(queue) == threads

    queue.enter(soon())
    threads = [threading.Thread(target=write, args=[number]) for number in range(6)]
    for number, thread in enumerate(threads):
        thread.start()
        until(partial(waits, number + 2), what="a thread that waits")
    queue.leave()
    for thread in threads:
        thread.join()

    assert came == [0, 1, 2, 3, 4, 5]
    assert len(queue) == 0


def test_a_thread_that_gives_up_leaves_the_turn_to_the_next(queue: WriteQueue) -> None:
    queue.enter(soon())

    assert not queue.enter(monotonic())

    queue.leave()
    assert queue.enter(monotonic())


def test_a_thread_that_a_signal_interrupts_waits_no_longer(queue: WriteQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        """A lock for which the main thread waits when Ctrl-C comes."""

        def acquire(self, timeout: float | None = None) -> None:
            if timeout is not None:
                raise KeyboardInterrupt

    queue.enter(soon())
    monkeypatch.setattr("database.sqlite.write_queue.threading.Lock", Interrupted)

    with pytest.raises(KeyboardInterrupt):
        queue.enter(soon())
    queue.leave()

    assert len(queue) == 0


def test_who_may_write_the_database_may_wait_in_its_queue(tmp_path: Path) -> None:
    database = tmp_path / "limn.sqlite3"
    database.touch()
    database.chmod(0o664)
    queue = WriteQueue(database)

    with queue.hold_process_lock(soon()) as has_lock:
        assert has_lock

    assert (tmp_path / "limn.sqlite3-queue").stat().st_mode & 0o777 == 0o664


def test_one_process_has_the_lock(queue: WriteQueue, tmp_path: Path) -> None:
    """Each open file has a lock of its own, so a second queue stands for another process."""
    of_another_process = WriteQueue(tmp_path / "queue")

    with queue.hold_process_lock(soon()) as has_lock, of_another_process.hold_process_lock(monotonic()) as has_lock_too:
        assert (has_lock, has_lock_too) == (True, False)

    with of_another_process.hold_process_lock(monotonic()) as has_lock:
        assert has_lock


def test_on_a_file_system_without_locks_every_process_has_its_turn(
    queue: WriteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)

    with queue.hold_process_lock(monotonic()) as has_lock:
        assert has_lock


# --- Transactions and statements of Django ---


@pytest.fixture
def writer(transactional_db: None) -> Iterator[sqlite3.Connection]:
    """A program without a queue, such as the command line of SQLite, in a transaction that does not end."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def create_in_a_transaction() -> None:
    with transaction.atomic():
        Group.objects.create(name="painters")


def create_at_once() -> None:
    """Write one statement outside of transactions."""
    Group.objects.bulk_create([Group(name="painters")])


def get_queue() -> WriteQueue:
    wrapper = connections["default"]
    assert isinstance(wrapper, DatabaseWrapper)
    assert wrapper.write_queue is not None
    return wrapper.write_queue


def in_a_thread(act: Callable[[], None]) -> None:
    try:
        act()
    finally:
        connections.close_all()


@pytest.mark.parametrize("create", [create_in_a_transaction, create_at_once])
def test_a_write_waits_for_another_one(create: Callable[[], None], writer: sqlite3.Connection) -> None:
    with ThreadPoolExecutor(1) as threads:
        created = threads.submit(in_a_thread, create)
        until(lambda: len(get_queue()) == 1, what="a thread that writes")
        assert not Group.objects.exists()
        writer.rollback()
        created.result(HANG_SECONDS)

    assert Group.objects.count() == 1
    assert len(get_queue()) == 0


@pytest.mark.parametrize("create", [create_in_a_transaction, create_at_once])
def test_a_write_fails_when_the_time_of_its_request_is_over(
    create: Callable[[], None], writer: sqlite3.Connection
) -> None:
    with timeouts.limited(0.01), pytest.raises(OperationalError, match="database is locked"):
        create()

    assert len(get_queue()) == 0


@pytest.mark.django_db(transaction=True)
def test_a_transaction_has_the_turn_until_it_ends() -> None:
    with transaction.atomic():
        assert len(get_queue()) == 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        raise ZeroDivisionError

    assert len(get_queue()) == 0


@pytest.mark.django_db(transaction=True)
def test_a_closed_connection_gives_the_turn_away() -> None:
    with transaction.atomic():
        connection.close()

    assert len(get_queue()) == 0


@pytest.mark.django_db(transaction=True)
def test_after_a_rollback_of_sqlite_itself_the_rest_of_the_block_is_refused_at_once() -> None:
    """As on a full disk. Otherwise the rest would be committed, one statement after the other."""
    Group.objects.create(name="painters")

    @transaction.atomic
    def write_on() -> None:
        with connection.cursor() as cursor, suppress(IntegrityError):
            cursor.execute("INSERT OR ROLLBACK INTO auth_group (name) VALUES ('painters')")
        Group.objects.create(name="sculptors")

    with pytest.raises(OperationalError, match="rolled back by SQLite"):
        write_on()

    assert (Group.objects.count(), len(get_queue())) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_a_write_that_the_database_refuses_gives_the_turn_away() -> None:
    Group.objects.create(name="painters")

    with connection.cursor() as cursor, pytest.raises(Exception, match="UNIQUE"):
        cursor.execute("INSERT INTO auth_group (name) VALUES ('painters')")

    assert len(get_queue()) == 0


@pytest.mark.django_db(transaction=True)
def test_statements_of_one_request_share_its_time() -> None:
    with timeouts.limited(60):
        before = timeouts.seconds_left(at_most=60)
        assert Group.objects.count() == 0
        assert timeouts.seconds_left(at_most=60) < before
        with timeouts.limited(0.5):
            assert timeouts.seconds_left(at_most=60) <= 0.5
        with timeouts.limited(1000):
            assert timeouts.seconds_left(at_most=1000) < 60
        before = timeouts.seconds_left(at_most=60)
        with timeouts.limited(1000):
            assert Group.objects.count() == 0
        assert timeouts.seconds_left(at_most=60) < before


# --- The disk ---


@pytest.fixture
def syncs(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many groups another connection saw each time that this process waited for the disk."""
    seen: list[int] = []
    wait = os.fdatasync

    def count_and_wait(handle: int) -> None:
        with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
            seen.append(other.execute("SELECT count(*) FROM auth_group").fetchone()[0])
        wait(handle)

    monkeypatch.setattr(os, "fdatasync", count_and_wait)
    return seen


def create_and_return() -> None:
    """SQLite commits such a statement when its last row has been read."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO auth_group (name) VALUES ('a'), ('b') RETURNING name")
        rows = [cursor.fetchone(), *cursor.fetchmany(1), *cursor.fetchall()]

    assert rows == [("a",), ("b",)]


@pytest.mark.parametrize("create, groups", [(create_in_a_transaction, 1), (create_at_once, 1), (create_and_return, 2)])
def test_what_is_committed_is_on_the_disk(create: Callable[[], None], groups: int, syncs: list[int]) -> None:
    create()

    assert syncs == [groups]


def test_what_is_read_or_rolled_back_does_not_wait_for_the_disk(syncs: list[int]) -> None:
    """Negative control."""
    with transaction.atomic():
        Group.objects.create(name="painters")
        transaction.set_rollback(True)

    assert (Group.objects.count(), syncs) == (0, [])


def test_a_commit_that_is_not_on_the_disk_is_an_error(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(OperationalError, match="may be lost"):
            create_in_a_transaction()

    assert len(get_queue()) == 0


@pytest.mark.django_db(transaction=True)
def test_the_journal_is_a_write_ahead_log() -> None:
    with connection.cursor() as cursor:
        settings = [cursor.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")]

    assert settings == [("wal",), (1,)]  # 1 is NORMAL: the backend waits for the disk itself.


def test_a_statement_waits_while_another_process_recovers_the_log() -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
    answers = iter([error, error])

    def execute() -> str:
        if (raised := next(answers, None)) is not None:
            raise raised
        return "answer"

    assert _repeat(execute, soon()) == "answer"
