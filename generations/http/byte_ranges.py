"""Sends a file, or the part of it that a Range header asks for (RFC 9110, section 14).

The API uses it for outputs and uploads that are stored in a local folder; a bucket answers ranges itself. Ranges let a
browser play a video from any position, and let a download resume.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import IO

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.request import Request

from generations.errors import RangeNotSatisfiable

# Large enough for a high throughput, small enough for many downloads at once.
CHUNK_BYTES = 64 * 1024
# One range only. A server may answer any other Range header with the whole file.
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")


def respond(request: Request, open_file: Callable[[], IO[bytes]], *, size_bytes: int, etag: str) -> HttpResponseBase:
    """Return the response to a GET: 200 with the whole file, 206 with a part of it, or 304 if the client has it.

    Args:
        open_file: Opens the file. It is called only if bytes are sent, and the response closes the file.
        size_bytes: The size of the file.
        etag: A strong ETag, with its quotes.

    Raises RangeNotSatisfiable, and what `open_file` raises.
    """
    if (unchanged := get_conditional_response(request, etag=etag)) is not None:
        return unchanged
    part = None
    # If-Range: the part is wanted only if it belongs to the file that the client has begun to download.
    if request.headers.get("If-Range", etag) == etag:
        part = parse_range(request.headers.get("Range", ""), size_bytes)
    sent = range(size_bytes) if part is None else part
    response = StreamingHttpResponse(_FilePart(open_file(), sent), status=200 if part is None else 206)
    response["Content-Length"] = str(len(sent))
    if part is not None:
        response["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size_bytes}"
    return response


def parse_range(header: str, size_bytes: int) -> range | None:
    """Return the positions of the bytes that a Range header asks for, in a file of `size_bytes`.

    Returns None, which means the whole file, for a header that is invalid or not supported. Raises RangeNotSatisfiable
    if the range begins at the end of the file or beyond.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or header.strip() == "bytes=-":
        return None
    if not match["first"]:
        # "bytes=-500" asks for the last 500 bytes.
        start, stop = max(0, size_bytes - int(match["last"])), size_bytes
    else:
        start, stop = int(match["first"]), min(int(match["last"] or size_bytes) + 1, size_bytes)
        if match["last"] and int(match["last"]) < start:
            return None
    if start >= size_bytes:
        raise RangeNotSatisfiable(headers={"Content-Range": f"bytes */{size_bytes}"})
    return range(start, stop)


class _FilePart:
    """Iterates over some bytes of an open file. Django closes it, and with it the file, when the response ends."""

    def __init__(self, file: IO[bytes], part: range) -> None:
        self._file = file
        self._part = part

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self._part.start)
        remaining = len(self._part)
        while remaining and (chunk := self._file.read(min(CHUNK_BYTES, remaining))):
            remaining -= len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()
