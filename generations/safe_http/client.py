"""The one place that fetches what others name, and posts to where they say. It dials only what it has checked, and
stops when it is too much.

FetchError
├── Refused    the address may not be fetched: final
│   └── Redirected   it is elsewhere, and whether to go there is the caller's to decide
├── TooLarge   more bytes than allowed: final
├── Missing    403, 404, 410: it is not, or no longer, there
└── TryLater   anything else that went wrong on the way
"""

from __future__ import annotations

import hashlib
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from generations.jobs.retry_after import parse_retry_after
from generations.safe_http.addresses import ends_in_a_number, is_address, is_loopback, is_public
from generations.safe_http.deadline import Deadline

CONNECT_SECONDS_MAX = 5
SILENCE_SECONDS_MAX = 20
CHUNK_BYTES = 64 * 1024
URL_CHARACTERS_MAX = 4096
RETRY_AFTER_SECONDS_MAX = 3600
# The limits of DNS; beyond them, looking a name up fails in ways of its own.
HOST_CHARACTERS_MAX = 253
T = TypeVar("T")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


class FetchError(Exception):
    """The file was not fetched."""


class AddressRefused(FetchError):
    """The address may not be fetched."""


class Redirected(AddressRefused):
    """It is at `location`, as the server wrote that."""

    def __init__(self, status: int, location: str) -> None:
        super().__init__(f"{status}: redirects are not followed")
        self.location = location


class TooLarge(FetchError):
    """More bytes than allowed."""


class Missing(FetchError):
    """It is not, or no longer, there."""


class TryLater(FetchError):
    """Something went wrong on the way."""

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, kw_only=True)
class Fetched:
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for a POST, whatever its status."""

    status: int
    beginning: bytes
    retry_after: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """An address in the one form that we dial: no two parsers can read it differently."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def fetch(url: str, sink: IO[bytes], *, hosts: Sequence[str], bytes_max: int, seconds_max: float) -> Fetched:
    """Stream the file at `url` into `sink`. Raises FetchError.

    `hosts` are the patterns it may come from ("*.fal.media", "127.0.0.1:9000", "*" for anywhere). Private addresses
    are never dialled, but for a pattern that names one host literally, by address or with its port: the operator
    meant that one.
    """
    target, private_allowed = _allowed(url, hosts)
    with Deadline(seconds_max) as deadline:
        return _stream(target, sink, deadline=deadline, private_allowed=private_allowed, bytes_max=bytes_max)


def fetch_beginning(url: str, *, hosts: Sequence[str], bytes_max: int, seconds_max: float) -> bytes:
    """The first bytes of what lies at `url`; the rest is not fetched. Guarded like `fetch`. Raises FetchError."""
    target, private_allowed = _allowed(url, hosts)
    with Deadline(seconds_max) as deadline:
        try:
            with _open(target, _dialler(deadline, private_allowed=private_allowed)) as response:
                _require_file(response, sys.maxsize)
                beginning = _answer(response, bytes_max).beginning
        except (requests.RequestException, HTTPError, OSError) as error:
            raise TryLater(_what_went_wrong(error, deadline)) from error
        if deadline.passed:
            raise TryLater("it took too long")
        return beginning


def follow_redirects(url: str, ask: Callable[[str], T], *, redirects_max: int) -> T:
    """What `ask` gets at this address, over as few redirects; each is asked anew, and so checked like the first."""
    for _ in range(redirects_max + 1):
        try:
            return ask(url)
        except Redirected as redirected:
            url = urljoin(url, redirected.location)
    raise AddressRefused("it redirects too often")


def _allowed(url: str, hosts: Sequence[str]) -> tuple[Target, bool]:
    """Where it is, and whether that may be a private address."""
    target = parse(url)
    pattern = next((pattern for pattern in hosts if matches(pattern, target)), None)
    if pattern is None:
        raise AddressRefused(f"files may not come from {target.host}:{target.port}")
    if target.scheme == "http" and not is_loopback(target.host):
        raise AddressRefused("plain http is accepted from loopback addresses only")
    return target, _names_one_host(pattern)


def post(
    url: str, body: bytes, *, headers: Mapping[str, str], loopback_allowed: bool, bytes_max: int, seconds_max: float
) -> Answer:
    """POST, and no more than the first `bytes_max` of the answer. Any status is an answer; a redirect is none that is
    followed. Raises Refused, TryLater."""
    target = recipient(url, loopback_allowed=loopback_allowed)
    with Deadline(seconds_max) as deadline:
        dial = _dialler(deadline, private_allowed=is_loopback(target.host))
        try:
            with _open(target, dial, "POST", body=body, headers=headers) as response:
                return _answer(response, bytes_max)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise TryLater(_what_went_wrong(error, deadline)) from error


def recipient(url: str, *, loopback_allowed: bool) -> Target:
    """Where a POST may go, by the look of its address; to where its name leads is checked when it is dialled."""
    target = parse(url)
    if is_loopback(target.host):
        if not loopback_allowed:
            raise AddressRefused("addresses of the machine itself are not dialled")
        return target
    if target.scheme != "https":
        raise AddressRefused("the address is not an https one")
    if is_address(target.host) and not is_public(target.host):
        raise AddressRefused("the address is not a public one")
    if not is_address(target.host) and ends_in_a_number(target.host):
        raise AddressRefused("the host is an address in an unusual spelling")
    return target


def parse(url: str) -> Target:
    """The address, or Refused: no user names, no tricks with spaces, backslashes, dots or foreign letters."""
    if len(url) > URL_CHARACTERS_MAX or not re.fullmatch(r"[\x21-\x5b\x5d-\x7e]+", url):
        raise AddressRefused("the address holds characters that no address needs")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("the address cannot be read") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused("the address is not a plain http or https one")
    host = parts.hostname
    if len(host) > HOST_CHARACTERS_MAX or not (_HOST_NAME.fullmatch(host) or is_address(host)):
        raise AddressRefused("the host name is malformed")
    if parts.netloc.lower() not in _spellings(host, port):
        raise AddressRefused("the address holds more than a host and a port")
    query = f"?{parts.query}" if parts.query else ""
    default = 443 if parts.scheme == "https" else 80
    return Target(scheme=parts.scheme, host=host, port=port or default, path=(parts.path or "/") + query)


def _spellings(host: str, port: int | None) -> set[str]:
    """How host and port may be written; whatever else stands there (a user name, brackets, port 0) is a trick."""
    bare = f"[{host}]" if ":" in host else host
    return {f"{bare}:{port}"} if port else {bare} if port is None else set()


def matches(pattern: str, target: Target) -> bool:
    name, _, port = pattern.lower().partition(":")
    if port and int(port) != target.port:
        return False
    if not port and target.port not in (80, 443):
        return False
    if name == "*":
        return True
    if name.startswith("*."):
        return target.host.endswith(name[1:])
    return target.host == name


def _names_one_host(pattern: str) -> bool:
    name, _, port = pattern.partition(":")
    return not name.startswith("*") and (bool(port) or is_address(name) or name == "localhost")


# --- The transfer -------------------------------------------------------------------------------------------------


def _stream(target: Target, sink: IO[bytes], *, deadline: Deadline, private_allowed: bool, bytes_max: int) -> Fetched:
    try:
        with _open(target, _dialler(deadline, private_allowed=private_allowed)) as response:
            _require_file(response, bytes_max)
            fetched = _copy(response, sink, bytes_max)
            if deadline.passed:
                # Our own shutdown looks like the end of a body without Content-Length.
                raise TryLater("it took too long")
            return fetched
    except (requests.RequestException, HTTPError, OSError) as error:
        raise TryLater(_what_went_wrong(error, deadline)) from error


@contextmanager
def _open(
    target: Target, dial: Dial, method: str = "GET", *, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Iterator[requests.Response]:
    with _Session() as session:
        # No proxies, no .netrc, no certificates from the environment: it dials what it has checked, or nothing.
        session.trust_env = False
        session.mount(f"{target.scheme}://", _GuardedAdapter(dial))
        headers = {"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "limn", **(headers or {})}
        timeout = (CONNECT_SECONDS_MAX, SILENCE_SECONDS_MAX)
        asked = session.request(
            method, target.url, data=body, headers=headers, timeout=timeout, stream=True, allow_redirects=False
        )
        with asked as response:
            yield response


def _answer(response: requests.Response, bytes_max: int) -> Answer:
    beginning = b""
    # The status is the answer. A body that never ends, or breaks off, takes nothing from it.
    with suppress(HTTPError, OSError):
        while len(beginning) < bytes_max:
            chunk = response.raw.read1(bytes_max - len(beginning), decode_content=False)
            if not chunk:
                break
            beginning += chunk
    retry_after = response.headers.get("Retry-After", "")
    return Answer(status=response.status_code, beginning=beginning, retry_after=retry_after)


def _require_file(response: requests.Response, bytes_max: int) -> None:
    status = response.status_code
    if 300 <= status < 400:
        raise Redirected(status, response.headers.get("Location", ""))
    if status in (403, 404, 410):
        raise Missing(f"{status}")
    if status != 200:
        retry_after = parse_retry_after(response.headers.get("Retry-After", ""), seconds_max=RETRY_AFTER_SECONDS_MAX)
        raise TryLater(f"{status}", retry_after_seconds=retry_after)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise TryLater("the answer is packed, and we did not ask for that")
    declared = re.fullmatch(r"0*([0-9]+)", response.headers.get("Content-Length", ""))
    if declared and (len(declared[1]) > len(str(bytes_max)) or int(declared[1]) > bytes_max):
        raise TooLarge(f"{declared[1][:20]} bytes declared, {bytes_max} allowed")


def _copy(response: requests.Response, sink: IO[bytes], bytes_max: int) -> Fetched:
    digest, size = hashlib.sha256(), 0
    # read1 hands over what has come, so that a dripping server cannot keep us inside one long read.
    while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
        size += len(chunk)
        if size > bytes_max:
            raise TooLarge(f"more than {bytes_max} bytes")
        digest.update(chunk)
        sink.write(chunk)
    return Fetched(size_bytes=size, sha256=digest.hexdigest())


def _what_went_wrong(error: BaseException, deadline: Deadline) -> str:
    cause = _root_of(error)
    return "it took too long" if deadline.passed else f"{type(cause).__name__}: {cause}"[:300]


def _root_of(error: BaseException) -> BaseException:
    # urllib3 wraps what a connection raises, requests wraps that again; both name the address, signature included.
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


# --- Dialling -----------------------------------------------------------------------------------------------------

Dial = Callable[[str, int], socket.socket]


def _dialler(deadline: Deadline, *, private_allowed: bool) -> Dial:
    def dial(host: str, port: int) -> socket.socket:
        # One resolution; what was checked is what is dialled, so a name cannot change its mind in between.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        if not private_allowed and not all(map(is_public, addresses)):
            raise AddressRefused(f"{host} resolves to an address that is not public")
        connection = _first_connection(addresses, port)
        deadline.guard(connection)
        return connection

    return dial


def _first_connection(addresses: list[str], port: int) -> socket.socket:
    error = OSError("the name has no address")
    for address in addresses[:4]:
        try:
            return socket.create_connection((address, port), timeout=CONNECT_SECONDS_MAX)
        except OSError as refused:
            error = refused
    # An error without a number: urllib3 overlooks ECONNRESET, and would go on without a socket.
    raise OSError(f"no connection: {error}") from error


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: told of a redirect that it is not to follow, requests still reads its whole body, however long."""


class _GuardedAdapter(HTTPAdapter):
    """requests on connections that our dialler opened."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        dial = self._dial

        class GuardedHTTP(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return dial(self.host, self.port)

        class GuardedHTTPS(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return dial(self.host, self.port or 443)

        http = type("GuardedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": GuardedHTTP})
        https = type("GuardedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": GuardedHTTPS})
        self.poolmanager.pool_classes_by_scheme = {"http": http, "https": https}
