"""Speaks to fal's queue. One paid attempt is one POST, whatever happens on the wire.

fal_client repeats a POST up to ten times on a dropped connection, a time-out, 408, 409, 429 or nginx's 502
(fal-facts.md §1.5), and each one that fal accepted is a paid job. So its transport is ours: every outcome but a
2xx leaves it as an exception that fal_client does not know and therefore does not retry.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit

import fal_client
import httpx
from fal_client.client import QUEUE_URL_FORMAT, USER_AGENT, BackupDomainTransport

from generations.fal import wire
from generations.fal.errors import AnswerLost, Forbidden, Gone, Unavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

DEFAULT_QUEUE_URL = "https://queue.fal.run"
BACKUP_QUEUE_URL = "https://queue.falrun.com"
PLATFORM_URL = "https://api.fal.ai/v1"
OPENAPI_URL = "https://fal.ai/api/openapi/queue/openapi.json"
# 100 requests a page: a thousand orders of one model within the minutes that we ask about.
RECORD_PAGES_MAX = 10
ANSWER_BYTES_MAX = 8 * 1024 * 1024
# Per socket operation. Submitting happens while a user waits; the rest in the background.
SUBMIT_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
ASK_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
# In all, names and trickling servers included: what a socket's time-out cannot promise.
SUBMIT_SECONDS_MAX = 8.0
ASK_SECONDS_MAX = 20.0

# The key cannot have left with these; everything else may have reached fal.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """fal's receipt for a submission: its id, and the addresses to ask about it."""

    request_id: str
    status_url: str
    response_url: str
    cancel_url: str


@dataclass(frozen=True, kw_only=True)
class FalClient:
    """fal's queue. Safe to share between threads."""

    key: str = field(repr=False)
    queue_url: str = DEFAULT_QUEUE_URL
    submit_seconds_max: float = SUBMIT_SECONDS_MAX

    def submit(
        self, endpoint: str, arguments: Mapping[str, Any], *, webhook_url: str, start_timeout_seconds: int
    ) -> Receipt:
        """Order once. Raises Rejected, Unavailable, Forbidden (not taken) or AnswerLost (perhaps taken)."""

        def post() -> fal_client.SyncRequestHandle:
            return self._paid.submit(
                endpoint, dict(arguments), webhook_url=webhook_url, start_timeout=start_timeout_seconds
            )

        self._require_key()
        try:
            handle = _within(self.submit_seconds_max, post)
        except TimeoutError as error:
            raise AnswerLost(f"no answer within {self.submit_seconds_max} s") from error
        except (KeyError, TypeError, ValueError) as error:
            # A 2xx whose body is not the receipt: the job may well exist.
            raise AnswerLost(f"fal's receipt cannot be read: {error!r}"[:300]) from error
        return self._checked(endpoint, handle)

    def receipt_for(self, endpoint: str, request_id: str) -> Receipt:
        """The addresses of a request whose receipt we never got, by fal's rule: owner and app, no sub-path."""
        response_url = f"{self.queue_url}/{_app_of(endpoint)}/requests/{quote(request_id, safe='')}"
        return Receipt(
            request_id=request_id,
            status_url=f"{response_url}/status",
            response_url=response_url,
            cancel_url=f"{response_url}/cancel",
        )

    def status(self, status_url: str) -> wire.Queued | wire.Running | wire.Finished:
        """How far it is. Raises Gone, Forbidden, Unavailable."""
        response = self._ask("GET", f"{status_url}?logs=1")
        if response.status_code in (404, 410):
            raise Gone("fal does not know the request")
        if response.status_code in (401, 403):
            raise Forbidden(f"{response.status_code} for the status")
        if response.status_code not in (200, 202):
            wait = wire.retry_after_seconds(response.headers)
            raise Unavailable(f"{response.status_code} for the status", retry_after_seconds=wait)
        return wire.read_status(response.content)

    def result(self, response_url: str) -> wire.Verdict:
        """The verdict, once the status is Finished. Raises Gone, Forbidden, Unavailable."""
        response = self._ask("GET", response_url)
        return wire.read_result(response.status_code, response.headers, response.content)

    def cancel(self, cancel_url: str) -> wire.CancelVerdict:
        """Ask fal to stop. The verdict on the job itself comes later. Raises Unavailable."""
        response = self._ask("PUT", cancel_url)
        return wire.read_cancel(response.status_code, response.content)

    def find_requests(
        self, endpoint: str, arguments: Mapping[str, Any], *, since: datetime, until: datetime
    ) -> list[str]:
        """The ids of the requests with exactly these arguments that fal has on record for that time.

        How a job is found whose receipt was lost. Raises Unavailable, also when the record is too long to be read
        whole: half a record proves nothing. Raises Forbidden.
        """
        query = {"endpoint_id": endpoint, "start": since.isoformat(), "end": until.isoformat()}
        found: list[str] = []
        cursor = None
        for _ in range(RECORD_PAGES_MAX):
            page = self._page_of_record(query | ({"cursor": cursor} if cursor else {}))
            found += [item.request_id for item in page.items if item.arguments == arguments]
            if (cursor := page.next_cursor) is None:
                return found
        raise Unavailable("fal's record of that time is too long to be read")

    def platform(self, path: str, query: Mapping[str, str], *, method: str = "GET") -> httpx.Response:
        """The Platform API's answer, whatever it is. Raises Unavailable, Forbidden without a key."""
        return self._call(method, f"{self._platform_url}/{path}?{urlencode(query)}")

    def openapi(self, endpoint: str) -> httpx.Response:
        """fal's OpenAPI document of an endpoint. It stands on fal's website, which our key is no business of."""
        home = OPENAPI_URL if self.queue_url == DEFAULT_QUEUE_URL else f"{self.queue_url}{urlsplit(OPENAPI_URL).path}"
        return self._call("GET", f"{home}?{urlencode({'endpoint_id': endpoint})}", with_key=False)

    def _page_of_record(self, query: Mapping[str, str]) -> wire.RecordPage:
        response = self.platform("models/requests/by-endpoint", {**query, "expand": "payloads", "limit": "100"})
        if response.status_code in (401, 403):
            raise Forbidden(f"{response.status_code} for the record of requests")
        if response.status_code != 200:
            raise Unavailable(f"{response.status_code} for the record of requests")
        return wire.read_record(response.content)

    @property
    def _platform_url(self) -> str:
        # The simulator, and whoever stands in for fal, answers both under one address.
        return PLATFORM_URL if self.queue_url == DEFAULT_QUEUE_URL else f"{self.queue_url}/v1"

    def close(self) -> None:
        """Let the connections go. A client that is used again opens new ones."""
        for name in ("_paid", "_free"):
            client = self.__dict__.pop(name, None)
            if client is not None:
                client.close()

    def _ask(self, method: str, url: str) -> httpx.Response:
        """A call that may be repeated at will: it costs nothing."""
        self._require_fals_own(url)
        return self._call(method, url)

    def _call(self, method: str, url: str, *, with_key: bool = True) -> httpx.Response:
        if with_key:
            self._require_key()
        request = self._free.build_request(method, url)
        if not with_key:
            del request.headers["Authorization"]
        try:
            return _within(ASK_SECONDS_MAX, lambda: self._free.send(request))
        except TimeoutError as error:
            raise Unavailable(f"no answer within {ASK_SECONDS_MAX} s") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__}: {error}"[:300]) from error

    def _checked(self, endpoint: str, handle: fal_client.SyncRequestHandle) -> Receipt:
        """fal's receipt, with addresses that our key may be sent to."""
        if not isinstance(handle.request_id, str) or not re.fullmatch(r"[\w.:-]{1,100}", handle.request_id, re.ASCII):
            raise AnswerLost("fal's receipt has no usable request id")
        urls = (handle.status_url, handle.response_url, handle.cancel_url)
        if not all(isinstance(url, str) and self._is_fals_own(url) for url in urls):
            # The job is ours and running; only the addresses are not to be trusted with the key.
            logger.error("fal answered with foreign addresses; using our own", extra={"request_id": handle.request_id})
            return self.receipt_for(endpoint, handle.request_id)
        status_url, response_url, cancel_url = urls
        return Receipt(
            request_id=handle.request_id, status_url=status_url, response_url=response_url, cancel_url=cancel_url
        )

    def _is_fals_own(self, url: str) -> bool:
        homes = {self.queue_url} | ({BACKUP_QUEUE_URL} if self.queue_url == DEFAULT_QUEUE_URL else set())
        return len(url) <= 500 and any(_origin(url) == _origin(home) for home in homes)

    def _require_fals_own(self, url: str) -> None:
        if not self._is_fals_own(url):
            raise Forbidden("the address on record is not fal's; our key is not sent there")

    def _require_key(self) -> None:
        # h11 would refuse a key with a newline only after the job's row says that it was sent.
        if not re.fullmatch(r"[\x21-\x7e]+", self.key):
            raise Forbidden("FAL_KEY is empty or holds characters that no key has")

    @cached_property
    def _paid(self) -> _PaidClient:
        # fal_client hands default_timeout to httpx as it is, so it may be finer than one number.
        return _PaidClient(key=self.key, queue_url=self.queue_url, default_timeout=cast(float, SUBMIT_TIMEOUT))

    @cached_property
    def _free(self) -> httpx.Client:
        return httpx.Client(
            transport=_Bounded(BackupDomainTransport()),
            headers=_headers(self.key),
            timeout=ASK_TIMEOUT,
            follow_redirects=False,
        )


@dataclass(frozen=True)
class _PaidClient(fal_client.SyncClient):
    """fal's client on our transport."""

    queue_url: str = DEFAULT_QUEUE_URL

    def close(self) -> None:
        self._client.close()

    @cached_property
    def _client(self) -> httpx.Client:
        # A connection that fal has just closed would look like an answer that was lost: each order has its own.
        fresh = httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
        return httpx.Client(
            transport=_OnePost(_Bounded(BackupDomainTransport(transport=fresh)), queue_url=self.queue_url),
            headers=_headers(self.key or ""),
            follow_redirects=False,
        )


class _OnePost(httpx.BaseTransport):
    """Sends once, to the configured queue, and turns every outcome but a 2xx into one of our errors."""

    def __init__(self, inner: httpx.BaseTransport, *, queue_url: str) -> None:
        self.inner = inner
        self.queue_url = queue_url

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request = self._at_home(request)
        try:
            response = self.inner.handle_request(request)
        except NOT_SENT as error:
            raise Unavailable(f"fal cannot be reached: {error}"[:300]) from error
        except httpx.LocalProtocolError as error:
            raise Forbidden("the request cannot be written; is FAL_KEY well-formed?") from error
        except httpx.HTTPError as error:
            raise AnswerLost(f"{type(error).__name__}: {error}"[:300]) from error
        if response.is_success:
            return response
        body = response.read()
        raise wire.refusal(response.status_code, response.headers, body) or AnswerLost(
            f"{response.status_code} from a gateway"
        )

    def _at_home(self, request: httpx.Request) -> httpx.Request:
        # fal_client hard-codes https and reads its host at import; the simulator lives on loopback http.
        path = str(request.url).removeprefix(QUEUE_URL_FORMAT)
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        return httpx.Request(
            request.method,
            f"{self.queue_url}/{path}",
            headers=headers,
            content=request.content,
            extensions=request.extensions,
        )

    def close(self) -> None:
        self.inner.close()


class _Bounded(httpx.BaseTransport):
    """Reads an answer whole, up to a size, and unpacked only by us."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = self.inner.handle_request(request)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise httpx.DecodingError("the answer is packed, and we did not ask for that")
            body = _read_capped(response)
        finally:
            response.close()
        return httpx.Response(response.status_code, headers=_plain(response.headers), content=body, request=request)

    def close(self) -> None:
        self.inner.close()


def _read_capped(response: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise httpx.ReadError(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _plain(headers: httpx.Headers) -> list[tuple[str, str]]:
    return [
        (name, value) for name, value in headers.items() if name.lower() not in ("transfer-encoding", "content-length")
    ]


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Key {key}", "User-Agent": USER_AGENT}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    if parts.username or parts.password or "\\" in url:
        return "", None, None
    return parts.scheme, parts.hostname, port


def _app_of(endpoint: str) -> str:
    # Status, result and cancel know only owner and app, without the model's sub-path.
    parts = endpoint.split("/")
    return "/".join(parts[:3] if parts[0] in ("workflows", "comfy") else parts[:2])


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The call's outcome, or TimeoutError. The call may go on behind our back; nobody hears its answer then."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name="fal").start()
    return outcome.result(timeout=seconds)
