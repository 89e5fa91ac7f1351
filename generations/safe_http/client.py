"""The only outbound HTTP client for URLs from outside: it fetches files and pages, and posts webhooks.

It connects only to addresses that it has checked, follows no redirect, and ends every transfer at a deadline and at a
limit of bytes. The copier, the checks of input files, the infographics and the notifier use it. All functions raise
`FetchError` (see `errors`) and no exception of urllib3.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import Protocol, TypeVar
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from generations.jobs.retry_after import parse_retry_after
from generations.safe_http import connections
from generations.safe_http.addresses import is_loopback
from generations.safe_http.deadline import Deadline
from generations.safe_http.errors import (
    AddressRefused,
    FetchError,
    HostRefused,
    Missing,
    Redirected,
    TooLarge,
    TryLater,
    Unproven,
)
from generations.safe_http.urls import Target, parse_recipient, permit

__all__ = [
    "AddressRefused",
    "FetchError",
    "Fetched",
    "HostRefused",
    "Missing",
    "PostResponse",
    "Redirected",
    "TooLarge",
    "TryLater",
    "Unproven",
    "fetch",
    "fetch_beginning",
    "follow_redirects",
    "is_whole",
    "post",
    "stream",
]

CHUNK_BYTES = 1024**2
RETRY_AFTER_SECONDS_MAX = 3600
# The largest number of 64 bits has 19.
LENGTH_DIGITS_MAX = 20
T = TypeVar("T")


class Sink(Protocol):
    """What a file is written into."""

    def write(self, chunk: bytes, /) -> object: ...


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What `fetch` has written."""

    size_bytes: int
    sha256: str
    """Hexadecimal."""
    end_is_marked: bool
    """As `stream` returns it."""


class _SinkFailed(Exception):
    """Carries an error of the sink past the code that takes errors for those of the connection."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Hashing:
    """Passes what it is given to a sink."""

    def __init__(self, sink: Sink) -> None:
        self.digest, self.size_bytes = hashlib.sha256(), 0
        self._sink = sink

    def write(self, chunk: bytes, /) -> None:
        self.digest.update(chunk)
        self.size_bytes += len(chunk)
        self._sink.write(chunk)


@dataclass(frozen=True, kw_only=True)
class PostResponse:
    """The response to a POST, whatever its status."""

    status: int
    beginning: bytes
    """The first bytes of the body."""
    retry_after: str
    """The `Retry-After` header, or an empty string."""


def stream(
    url: str,
    sink: Sink,
    *,
    hosts: Sequence[str],
    bytes_max: int,
    seconds_max: float,
    keeps_connection: bool = False,
) -> bool:
    """Write the file at `url` into `sink` as it arrives.

    Args:
        url: An http or https URL from outside.
        sink: Receives the bytes as they arrive. After an error it holds a part of the file.
        hosts: Patterns of the hosts that the file may come from: `*.fal.media`, `127.0.0.1:9000`, `*` for any. Private
            addresses are refused unless the matching pattern names a single host by its address or with its port.
        bytes_max: The largest file to accept.
        seconds_max: The time for the whole transfer, from the resolution of the name to the last byte.
        keeps_connection: Keep the connection open for the next file of this host, and use one that was kept.

    Returns:
        Whether the server has marked the end of the file, by its length or by a last chunk. If not, the file ended
        because the connection was closed, and may have been cut off: see `is_whole`.

    Raises:
        FetchError: One of its subclasses says whether a later attempt makes sense.
        Exception: What the sink raises, such as OSError if the disk is full.
    """
    size = 0
    get = partial(_get, url, hosts=hosts, bytes_max=bytes_max, seconds_max=seconds_max)
    try:
        with get(keeps_connection=keeps_connection) as response:
            # `read1` returns what has arrived. `read` would wait for a full chunk, for as long as a slow server likes.
            while chunk := response.read1(CHUNK_BYTES, decode_content=False):
                size += len(chunk)
                if size > bytes_max:
                    raise TooLarge(f"more than {bytes_max} bytes")
                try:
                    sink.write(chunk)
                except Exception as error:
                    raise _SinkFailed(error) from error
            # urllib3 raises an error if such a body breaks off.
            return "Transfer-Encoding" in response.headers or _content_length(response) is not None
    except _SinkFailed as failed:
        sink_error = failed.error
    try:
        raise sink_error
    finally:
        # A variable would make a cycle with the error's traceback, as in `_describe`.
        del sink_error


def fetch(url: str, sink: Sink, *, hosts: Sequence[str], bytes_max: int, seconds_max: float) -> Fetched:
    """Do the same as `stream`, and return the size and the hash of the file."""
    hashing = _Hashing(sink)
    end_is_marked = stream(url, hashing, hosts=hosts, bytes_max=bytes_max, seconds_max=seconds_max)
    return Fetched(size_bytes=hashing.size_bytes, sha256=hashing.digest.hexdigest(), end_is_marked=end_is_marked)


def is_whole(url: str, size_bytes: int, *, hosts: Sequence[str], seconds_max: float) -> bool:
    """Ask the server whether a file has exactly this many bytes, after a transfer whose end it did not mark.

    Asks with HEAD, and then with a GET of what follows these bytes: a URL may be signed for GET alone.

    Args:
        hosts: As for `stream`.
        seconds_max: The time for each of the two requests.

    Returns:
        False if the file is longer: it was cut off.

    Raises:
        Unproven: The server does not tell, or says that the file is shorter.
    """
    target, private_allowed = permit(url, hosts)
    for method, headers in (("HEAD", {}), ("GET", {"Range": f"bytes={size_bytes}-"})):
        with (
            suppress(TryLater),
            Deadline(seconds_max) as deadline,
            _request(method, target, deadline, private_allowed=private_allowed, headers=headers) as response,
        ):
            length = _stated_length(response)
            if length is not None and length >= size_bytes:
                return length == size_bytes
    raise Unproven("the connection was closed, and the server does not tell how long the file is")


def fetch_beginning(url: str, *, hosts: Sequence[str], bytes_max: int, seconds_max: float) -> bytes:
    """Return at most the first `bytes_max` bytes of the file at `url`, of any size. Otherwise like `fetch`."""
    with _get(url, hosts=hosts, bytes_max=sys.maxsize, seconds_max=seconds_max) as response:
        return _read_beginning(response, bytes_max)


def follow_redirects(url: str, request: Callable[[str], T], *, redirects_max: int) -> T:
    """Call `request` with `url`, and again with the new URL for each redirect that it meets.

    Each URL goes through `request`, so each is checked like the first one.

    Raises:
        AddressRefused: There were more than `redirects_max` redirects.
    """
    for _ in range(redirects_max + 1):
        try:
            return request(url)
        except Redirected as redirected:
            url = urljoin(url, redirected.location)
    raise AddressRefused("too many redirects")


def post(
    url: str, body: bytes, *, headers: Mapping[str, str], loopback_allowed: bool, bytes_max: int, seconds_max: float
) -> PostResponse:
    """POST `body` to a public https URL and return the response, whatever its status. Redirects are not followed.

    Args:
        loopback_allowed: Accept loopback addresses, also with plain http.
        bytes_max: How much of the response's body to read.
        seconds_max: The time for the whole exchange.

    Raises:
        AddressRefused: The URL is not allowed.
        HostRefused: The host name resolves to an address that is not allowed.
        TryLater: There was no response.
    """
    target = parse_recipient(url, loopback_allowed=loopback_allowed)
    with (
        Deadline(seconds_max) as deadline,
        _request(
            "POST", target, deadline, private_allowed=is_loopback(target.host), body=body, headers=headers
        ) as response,
    ):
        return PostResponse(
            status=response.status,
            beginning=_read_beginning(response, bytes_max),
            retry_after=response.headers.get("Retry-After", ""),
        )


@contextmanager
def _get(
    url: str, *, hosts: Sequence[str], bytes_max: int, seconds_max: float, keeps_connection: bool = False
) -> Iterator[BaseHTTPResponse]:
    """GET a file, and yield the response if its status and headers promise one of at most `bytes_max` bytes."""
    target, private_allowed = permit(url, hosts)
    with Deadline(seconds_max) as deadline:
        with _request(
            "GET", target, deadline, private_allowed=private_allowed, keeps_connection=keeps_connection
        ) as response:
            status = response.status
            if 300 <= status < 400:
                raise Redirected(status, response.headers.get("Location", ""))
            if status in (403, 404, 410):
                raise Missing(f"{status}")
            if status != 200:
                header = response.headers.get("Retry-After", "")
                retry_after = parse_retry_after(header, seconds_max=RETRY_AFTER_SECONDS_MAX)
                raise TryLater(f"{status}", retry_after_seconds=retry_after)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                # It was not asked for, and decompressing it could fill the memory.
                raise TryLater("the response is compressed, which was not asked for")
            if response.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
                raise TryLater("the response has a transfer coding which was not asked for")
            declared = _content_length(response)
            if declared is not None and declared > bytes_max:
                raise TooLarge(f"{declared} bytes declared, {bytes_max} allowed")
            yield response
        if deadline.passed:
            # When the deadline shuts the connection down, a body without Content-Length seems to end regularly.
            raise TryLater("it took too long")


def _content_length(response: BaseHTTPResponse) -> int | None:
    """Return what the header says, or None if there is none or it is malformed."""
    digits = re.fullmatch(r"0*([0-9]+)", response.headers.get("Content-Length", ""))
    # int() refuses numbers of thousands of digits.
    return min(int(digits[1][:LENGTH_DIGITS_MAX]), sys.maxsize) if digits else None


def _stated_length(response: BaseHTTPResponse) -> int | None:
    """Return how many bytes a file has, from the response to HEAD or to a GET of a range; None if it does not tell."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return None
    if response.status == 200 and "Transfer-Encoding" not in response.headers:
        # Also of a server that does not know ranges.
        return _content_length(response)
    content_range = response.headers.get("Content-Range", "")
    # 416: there is nothing behind these bytes.
    total = re.fullmatch(r"bytes (?:\*|[0-9]+-[0-9]+)/([0-9]{1,18})", content_range)
    return int(total[1]) if total and response.status in (206, 416) else None


def _read_beginning(response: BaseHTTPResponse, bytes_max: int) -> bytes:
    beginning = b""
    # The caller wants the status, or as much of the body as arrives. A body that breaks off is therefore no error.
    with suppress(HTTPError, OSError):
        while len(beginning) < bytes_max:
            chunk = response.read1(bytes_max - len(beginning), decode_content=False)
            if not chunk:
                break
            beginning += chunk
    return beginning


@contextmanager
def _request(
    method: str,
    target: Target,
    deadline: Deadline,
    *,
    private_allowed: bool,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    keeps_connection: bool = False,
) -> Iterator[BaseHTTPResponse]:
    """Send a request and yield the response, its body unread. Any failure until the block ends is a TryLater."""
    headers = {"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "limn", **(headers or {})}
    opened = partial(connections.opened, target, deadline, private_allowed=private_allowed)
    try:
        with ExitStack() as stack:
            connection = stack.enter_context(opened(keeps=keeps_connection))
            try:
                connection.request(method, target.path, body=body, headers=headers, preload_content=False)
                response = connection.getresponse()
            except (HTTPException, ConnectionError):
                if not connection.was_kept or deadline.passed:
                    raise
                # The server has closed the kept connection at this moment. Nothing has been answered to this request.
                stack.close()
                connection = stack.enter_context(opened(keeps=False))
                connection.request(method, target.path, body=body, headers=headers, preload_content=False)
                response = connection.getresponse()
            yield response
            connection.is_reusable = response.closed and connection.sock is not None and not deadline.passed
    except (HTTPException, HTTPError, OSError) as error:
        raise TryLater("it took too long" if deadline.passed else _describe(error)) from error


def _describe(error: BaseException) -> str:
    """Return a description of the innermost error of a chain.

    urllib3 wraps errors of the connection, and repeats the URL, which may hold a signature. (In a function of its own:
    a variable of the caller would make a cycle with the error's traceback and leave the connection open until the next
    garbage collection.)
    """
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{type(error).__name__}: {error}"[:300]
