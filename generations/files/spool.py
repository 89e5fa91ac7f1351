"""Holds a file between its arrival from outside and its way into storage: in memory while it is small, else on disk.

The copier writes what it fetches into a `Spool`, which hashes it meanwhile. All spools of a process together take their
memory from `MEMORY`, so that many copies at the same time need no more of it than a few.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from typing import IO

# Most images have a few megabytes. A larger file is not worth its memory.
FILE_BYTES_MAX = 8 * 1024**2
MEMORY_BYTES_MAX = 32 * 1024**2


class MemoryBudget:
    """A number of bytes that threads may take and give back."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.taken_bytes = 0
        self.peak_bytes = 0
        """The most that was ever taken at the same time."""
        self._lock = threading.Lock()

    def try_take(self, count: int) -> bool:
        """Take `count` bytes. False if fewer are left."""
        with self._lock:
            if self.taken_bytes + count > self.bytes_max:
                return False
            self.taken_bytes += count
            self.peak_bytes = max(self.peak_bytes, self.taken_bytes)
            return True

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self.taken_bytes -= count


MEMORY = MemoryBudget(MEMORY_BYTES_MAX)


class Spool:
    """A file of unknown size that is written once, from its beginning. A context manager that discards it.

    Args:
        expected_bytes: The size that the file is said to have. A large one goes to disk from its first byte.
    """

    def __init__(self, *, expected_bytes: int | None = None) -> None:
        self.file: IO[bytes] = io.BytesIO()
        """All that was written."""
        self.size_bytes = 0
        self.is_sent = False
        """Whether bytes of it may be in storage, under a key that its attempt has on record."""
        self._hash = hashlib.sha256()
        self._is_in_memory, self._memory_bytes = True, 0
        if (expected_bytes or 0) > FILE_BYTES_MAX:
            self._move_to_disk()

    @property
    def content(self) -> bytes | None:
        """The whole file if it is in memory, not a copy of it; None if it is on disk."""
        return self.file.getvalue() if isinstance(self.file, io.BytesIO) else None

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        MEMORY.give_back(self._memory_bytes)
        self._memory_bytes = 0

    @property
    def digest(self) -> bytes:
        """The SHA-256 of all that was written."""
        return self._hash.digest()

    def write(self, chunk: bytes | memoryview) -> int:
        """Append `chunk`."""
        if self._is_in_memory and not self._fits(len(chunk)):
            self._move_to_disk()
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        return self.file.write(chunk)

    def _fits(self, count: int) -> bool:
        if self.size_bytes + count > FILE_BYTES_MAX or not MEMORY.try_take(count):
            return False
        self._memory_bytes += count
        return True

    def _move_to_disk(self) -> None:
        content = self.content or b""
        self.file.close()
        self.file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the spool)
        self.file.write(content)
        self._is_in_memory = False
        MEMORY.give_back(self._memory_bytes)
        self._memory_bytes = 0
