"""Parts of files: what a Range header asks for (RFC 9110), and the bytes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

# Big enough to be quick, small enough for many at once.
CHUNK_BYTES = 64 * 1024
# Several ranges in one request are nobody's need; a server may answer them with the whole file.
_ONE_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")


class NotSatisfiable(ValueError):
    """The range begins behind the end of the file."""


def wanted(header: str, size_bytes: int) -> range | None:
    """The bytes that a Range header asks for. None when it asks for nothing that we understand: then all of them."""
    found = _ONE_RANGE.fullmatch(header.strip())
    if found is None or header.strip() == "bytes=-":
        return None
    if not found["first"]:
        # "-500" means the last 500.
        start, stop = max(0, size_bytes - int(found["last"])), size_bytes
    else:
        start, stop = int(found["first"]), min(int(found["last"] or size_bytes) + 1, size_bytes)
        if found["last"] and int(found["last"]) < start:
            return None
    if start >= size_bytes:
        raise NotSatisfiable(header)
    return range(start, stop)


class Slice:
    """The wanted bytes of an open file, a chunk at a time. Whoever reads it closes it."""

    def __init__(self, file: IO[bytes], part: range) -> None:
        self._file = file
        self._part = part

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self._part.start)
        left = len(self._part)
        while left and (chunk := self._file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()
