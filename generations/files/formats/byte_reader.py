"""Reads parts of an open file, for the modules of this package that each inspect some formats."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import IO

HEAD_BYTES = 32


@dataclass(frozen=True)
class ByteReader:
    """An open file and its length."""

    file: IO[bytes]
    size_bytes: int

    def read(self, position: int, length: int) -> bytes:
        """Return the bytes from `position` on, fewer than `length` at the end of the file."""
        self.file.seek(position)
        return self.file.read(length)

    @cached_property
    def head(self) -> bytes:
        """The first 32 bytes."""
        return self.read(0, HEAD_BYTES)
