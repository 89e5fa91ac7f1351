"""The queue in which the writers of a SQLite database wait for their turn.

SQLite has one writer at a time and keeps no order among those that wait: each tries again after pauses that grow to
100 ms, and the first to try when the lock is free gets it. Under load a writer then waits for seconds, although no
transaction takes longer than milliseconds. `WriteQueue` lets the threads of a process write in the order in which they
came, and the processes take turns. It only decides who tries next. SQLite's own lock protects the data, so a program
that does not use the queue may write as well.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from time import monotonic, sleep

# Between two attempts of the first in the queue. One thread in each process makes attempts; the others sleep.
PAUSE_SECONDS = 0.001
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class WriteQueue:
    """The queue of one database, as one process sees it."""

    def __init__(self, database: Path) -> None:
        """Create nothing yet.

        Args:
            database: The file of the database. The lock among processes is an empty file beside it, `<database>-queue`,
                which is created when it is needed, and never removed.
        """
        self._database, self._file = database, Path(f"{database}-queue")
        self._mutex = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Lock] = deque()
        self.turns = 0
        """How many turns have ended. Each is one write transaction."""

    def __len__(self) -> int:
        """Return how many threads of this process write or wait."""
        with self._mutex:
            return self._is_taken + len(self._waiting)

    def enter(self, deadline: float) -> bool:
        """Wait until it is the caller's turn in this process. Returns False at the deadline, by the monotonic clock.

        After True the caller calls `leave`. Another thread may do it.
        """
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            if turn.acquire(timeout=max(0.0, deadline - monotonic())):
                return True
        except BaseException:
            # A signal handler has raised. The turn must not be passed to a thread that does not wait any more.
            if not self._withdraw(turn):
                self.leave()
            raise
        # Otherwise `leave` passed the turn on at the last moment.
        return not self._withdraw(turn)

    def _withdraw(self, turn: threading.Lock) -> bool:
        """Wait no longer. Returns False if the turn was passed to the caller meanwhile."""
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return True
            return False

    def leave(self) -> None:
        """Pass the turn to the thread that has waited longest."""
        with self._mutex:
            self.turns += 1
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False

    @contextmanager
    def hold_process_lock(self, deadline: float) -> Iterator[bool]:
        """Hold the lock among processes within the block. Yields False if another one held it until the deadline.

        The caller has its turn in this process, and tries to write within the block. A process whose transaction has
        just ended waits here too, so its next thread cannot overtake the first.
        """
        # Opened each time: closing it releases the lock, also when this process is killed.
        handle = self._open()
        try:
            while not (has_lock := _try_lock(handle)) and monotonic() < deadline:
                sleep(PAUSE_SECONDS)
            yield has_lock
        finally:
            os.close(handle)

    def _open(self) -> int:
        with suppress(FileNotFoundError):
            return os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        handle = os.open(self._file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # As SQLite does with its own files: every user who may write the database may wait, also if root came first.
        with suppress(OSError):
            owner = os.stat(self._database)
            os.fchmod(handle, stat.S_IMODE(owner.st_mode))
            os.fchown(handle, owner.st_uid, owner.st_gid)
        return handle


@cache
def queue_of(database: str) -> WriteQueue:
    """Return the queue of a database file in this process."""
    return WriteQueue(Path(database))


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Some network file systems have no such locks. Then the processes have no order, and SQLite decides.
        if error.errno not in _NO_LOCKS:
            raise
    return True
