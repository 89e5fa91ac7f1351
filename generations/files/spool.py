"""Holds a file between its arrival from outside and its way into storage: in memory while it is small, else on disk.

The copier writes what it fetches into a `Spool`. All spools and upload buffers of a process together take their memory
from `MEMORY`, so that many copies at the same time need no more of it than a few.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

# Most images have a few megabytes. A larger file is not worth its memory.
FILE_BYTES_MAX = 8 * 1024**2
MEMORY_BYTES_MAX = 32 * 1024**2
# The smallest part that S3 accepts, so that a part takes little memory while it is sent.
PART_BYTES = 5 * 1024**2


class MemoryBudget:
    """A number of bytes that threads may take and give back."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.taken_bytes = 0
        self.peak_bytes = 0
        """The most that was ever taken at the same time."""
        self._changed = threading.Condition()

    def try_take(self, count: int) -> bool:
        """Take `count` bytes. False if fewer are left."""
        with self._changed:
            return self._take(count)

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        with self._changed:
            self.taken_bytes -= count
            self._changed.notify_all()

    @contextmanager
    def held(self, count: int) -> Iterator[None]:
        """Take `count` bytes for the duration of the block. Waits until so many are left.

        The block takes no more of the budget. Then those that hold some never wait for each other.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._take(count))
        try:
            yield
        finally:
            self.give_back(count)

    def _take(self, count: int) -> bool:
        if self.taken_bytes + count > self.bytes_max:
            return False
        self.taken_bytes += count
        self.peak_bytes = max(self.peak_bytes, self.taken_bytes)
        return True


MEMORY = MemoryBudget(MEMORY_BYTES_MAX)


class Spool:
    """A file of unknown size that is written once, from its beginning. A context manager that discards it.

    Args:
        expected_bytes: The size that the file is said to have. A large one goes to disk from its first byte.
        hashes_parts: Compute `part_digests` of a file on disk while it arrives.
    """

    def __init__(self, *, expected_bytes: int | None = None, hashes_parts: bool = False) -> None:
        self.file: IO[bytes] = io.BytesIO()
        """All that was written."""
        self.size_bytes = 0
        self.hashes_parts = hashes_parts
        self._digests: list[bytes] = []
        self._is_in_memory, self._memory_bytes = True, 0
        self._part, self._part_bytes = hashlib.sha256(), 0
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

    def write(self, chunk: bytes) -> int:
        """Append `chunk`."""
        if self._is_in_memory and not self._fits(len(chunk)):
            self._move_to_disk()
        self.size_bytes += len(chunk)
        if not self._is_in_memory:
            self._hash_parts(chunk)
        return self.file.write(chunk)

    @property
    def part_digests(self) -> list[bytes]:
        """The SHA-256 of each PART_BYTES of a file on disk, the last of which may be shorter."""
        return [*self._digests, self._part.digest()] if self._part_bytes else self._digests

    def _fits(self, count: int) -> bool:
        if self.size_bytes + count > FILE_BYTES_MAX or not MEMORY.try_take(count):
            return False
        self._memory_bytes += count
        return True

    def _move_to_disk(self) -> None:
        content = self.content or b""
        self.file.close()
        self.file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the spool)
        self._hash_parts(content)
        self.file.write(content)
        self._is_in_memory = False
        MEMORY.give_back(self._memory_bytes)
        self._memory_bytes = 0

    def _hash_parts(self, chunk: bytes | memoryview) -> None:
        if not self.hashes_parts:
            return
        rest = memoryview(chunk)
        while rest:
            piece = rest[: PART_BYTES - self._part_bytes]
            self._part.update(piece)
            self._part_bytes += len(piece)
            rest = rest[len(piece) :]
            if self._part_bytes == PART_BYTES:
                self._digests.append(self._part.digest())
                self._part, self._part_bytes = hashlib.sha256(), 0
