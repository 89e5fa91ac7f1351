"""The only outbound HTTP client for URLs from outside: it fetches files and pages, and posts webhooks.

It connects only to addresses that it has checked, follows no redirect, and ends every transfer at a deadline and at a
limit of bytes. The copier, the checks of input files, the infographics and the notifier use it. All functions raise
`FetchError` (see `errors`) and no exception of requests or urllib3.
"""

from __future__ import annotations

import hashlib
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from generations.jobs.retry_after import parse_retry_after
from generations.safe_http.addresses import is_loopback, is_public
from generations.safe_http.deadline import Deadline
from generations.safe_http.errors import AddressRefused, FetchError, Missing, Redirected, TooLarge, TryLater
from generations.safe_http.urls import Target, parse_recipient, permit

__all__ = [
    "AddressRefused",
    "FetchError",
    "Fetched",
    "Missing",
    "PostResponse",
    "Redirected",
    "TooLarge",
    "TryLater",
    "fetch",
    "fetch_beginning",
    "follow_redirects",
    "post",
]

CONNECT_SECONDS_MAX = 5
# Between two bytes. The deadline limits the whole transfer.
READ_SECONDS_MAX = 20
CONNECT_ATTEMPTS_MAX = 4
CHUNK_BYTES = 64 * 1024
RETRY_AFTER_SECONDS_MAX = 3600
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


@dataclass(frozen=True, kw_only=True)
class PostResponse:
    """The response to a POST, whatever its status."""

    status: int
    beginning: bytes
    """The first bytes of the body."""
    retry_after: str
    """The `Retry-After` header, or an empty string."""


def fetch(url: str, sink: Sink, *, hosts: Sequence[str], bytes_max: int, seconds_max: float) -> Fetched:
    """Stream the file at `url` into `sink`.

    Args:
        url: An http or https URL from outside.
        sink: Receives the bytes as they arrive. After an error it holds a part of the file.
        hosts: Patterns of the hosts that the file may come from: `*.fal.media`, `127.0.0.1:9000`, `*` for any. Private
            addresses are refused unless the matching pattern names a single host by its address or with its port.
        bytes_max: The largest file to accept.
        seconds_max: The time for the whole transfer, from the resolution of the name to the last byte.

    Raises:
        FetchError: One of its subclasses says whether a later attempt makes sense.
    """
    digest, size = hashlib.sha256(), 0
    with _get(url, hosts=hosts, bytes_max=bytes_max, seconds_max=seconds_max) as response:
        # `read1` returns what has arrived. `read` would wait for a full chunk, for as long as a slow server likes.
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
            size += len(chunk)
            if size > bytes_max:
                raise TooLarge(f"more than {bytes_max} bytes")
            digest.update(chunk)
            sink.write(chunk)
    return Fetched(size_bytes=size, sha256=digest.hexdigest())


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
        AddressRefused: The URL, or an address that its host name resolves to, is not allowed.
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
            status=response.status_code,
            beginning=_read_beginning(response, bytes_max),
            retry_after=response.headers.get("Retry-After", ""),
        )


@contextmanager
def _get(url: str, *, hosts: Sequence[str], bytes_max: int, seconds_max: float) -> Iterator[requests.Response]:
    """GET a file, and yield the response if its status and headers promise one of at most `bytes_max` bytes."""
    target, private_allowed = permit(url, hosts)
    with Deadline(seconds_max) as deadline:
        with _request("GET", target, deadline, private_allowed=private_allowed) as response:
            status = response.status_code
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
            declared = re.fullmatch(r"0*([0-9]+)", response.headers.get("Content-Length", ""))
            # The lengths are compared first, because int() refuses numbers of thousands of digits.
            if declared and (len(declared[1]) > len(str(bytes_max)) or int(declared[1]) > bytes_max):
                raise TooLarge(f"{declared[1][:20]} bytes declared, {bytes_max} allowed")
            yield response
        if deadline.passed:
            # When the deadline shuts the connection down, a body without Content-Length seems to end regularly.
            raise TryLater("it took too long")


def _read_beginning(response: requests.Response, bytes_max: int) -> bytes:
    beginning = b""
    # The caller wants the status, or as much of the body as arrives. A body that breaks off is therefore no error.
    with suppress(HTTPError, OSError):
        while len(beginning) < bytes_max:
            chunk = response.raw.read1(bytes_max - len(beginning), decode_content=False)
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
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Iterator[requests.Response]:
    """Send a request and yield the response, its body unread. Any failure until the block ends is a TryLater."""
    headers = {"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "limn", **(headers or {})}
    with _Session() as session:
        # Else requests would follow the environment: connect to a proxy, send passwords of a .netrc file, and trust
        # further authorities.
        session.trust_env = False
        session.mount(f"{target.scheme}://", _CheckingAdapter(deadline, private_allowed=private_allowed))
        try:
            with session.request(
                method,
                target.url,
                data=body,
                headers=headers,
                timeout=(CONNECT_SECONDS_MAX, READ_SECONDS_MAX),
                stream=True,
                allow_redirects=False,
            ) as response:
                yield response
        except (requests.RequestException, HTTPError, OSError) as error:
            raise TryLater("it took too long" if deadline.passed else _describe(error)) from error


def _describe(error: BaseException) -> str:
    """Return a description of the innermost error of a chain.

    urllib3 wraps the error of the connection, and requests wraps that again. Both repeat the URL, which may hold a
    signature. (In a function of its own: a variable of the caller would make a cycle with the error's traceback and
    leave the connection open until the next garbage collection.)
    """
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{type(error).__name__}: {error}"[:300]


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Report no redirect: even one that is not followed would make requests read its whole body, however long."""


class _CheckingAdapter(HTTPAdapter):
    """Makes requests open its connections with `_connect`."""

    def __init__(self, deadline: Deadline, *, private_allowed: bool) -> None:
        self._open_connection = partial(_connect, deadline=deadline, private_allowed=private_allowed)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        connect = self._open_connection

        class CheckedHTTPConnection(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return connect(self.host, self.port)

        class CheckedHTTPSConnection(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return connect(self.host, self.port or 443)

        http = type("CheckedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": CheckedHTTPConnection})
        https = type("CheckedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": CheckedHTTPSConnection})
        self.poolmanager.pool_classes_by_scheme = {"http": http, "https": https}


def _connect(host: str, port: int, *, deadline: Deadline, private_allowed: bool) -> socket.socket:
    """Resolve a host once, check all its addresses, and connect to the first that accepts."""
    # Connecting to the checked addresses, not to the name, keeps a second resolution from giving a private one.
    resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in resolved))
    if not private_allowed and not all(map(is_public, addresses)):
        raise AddressRefused(f"{host} resolves to an address that is not public")
    error = OSError("the name has no address")
    for address in addresses[:CONNECT_ATTEMPTS_MAX]:
        try:
            connection = socket.create_connection((address, port), timeout=CONNECT_SECONDS_MAX)
        except OSError as refused:
            error = refused
        else:
            deadline.guard(connection)
            return connection
    # The new error has no errno: urllib3 ignores a ConnectionResetError here and would go on without a socket.
    raise OSError(f"no connection: {error}") from error
