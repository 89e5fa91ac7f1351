"""Sends submissions to fal and asks about jobs. One call of `submit` is one POST, whatever happens on the network.

fal_client repeats a POST up to ten times after a dropped connection, a time-out, 408, 409, 429 or a 502 of nginx, and
each POST that fal accepts is a paid job (measured with fal_client 1.0.3 in November 2026; docs/fal.md, section 1.5). So
this module gives it a transport that turns every outcome but a 2xx into an exception that fal_client does not know and
therefore does not retry. Every call has a time limit as a whole, and the key is sent to fal's hosts only.
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
from urllib.parse import urlencode, urlsplit

import fal_client
import httpx
from fal_client.client import QUEUE_URL_FORMAT, USER_AGENT, BackupDomainTransport

from generations.fal import receipts, wire
from generations.fal.errors import AnswerLost, Forbidden, Gone, Unavailable, Unreachable
from generations.fal.receipts import ProviderReceipt

logger = logging.getLogger(__name__)
T = TypeVar("T")

DEFAULT_QUEUE_URL = "https://queue.fal.run"
BACKUP_QUEUE_URL = "https://queue.falrun.com"
PLATFORM_URL = "https://api.fal.ai/v1"
OPENAPI_URL = "https://fal.ai/api/openapi/queue/openapi.json"
# With 100 requests per page: a thousand jobs of one model within the minutes that a search covers.
RECORD_PAGES_MAX = 10
ANSWER_BYTES_MAX = 8 * 1024 * 1024
URL_CHARACTERS_MAX = 500
DETAIL_CHARACTERS_MAX = 300
# For each socket operation. A person may wait for a submission; everything else runs in the background.
SUBMIT_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
ASK_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
# A connection to fal takes two or three round trips, so it is kept for the next order. A connection that fal has closed
# is not used. If fal closes it at the very moment of a POST, nothing tells whether fal has received that: the answer is
# lost, and the POST is not repeated. Therefore a connection is kept for less than the usual servers keep an idle one
# (5 s; fal's own client reuses one for as long).
KEPT_CONNECTIONS = 20
KEPT_SECONDS = 4.0
# For a whole call. A time-out of socket operations limits neither name resolution nor a server that sends slowly.
SUBMIT_SECONDS_MAX = 8.0
ASK_SECONDS_MAX = 20.0

# After these, nothing of the request has left this machine. After any other error fal may have received it.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, kw_only=True)
class FalClient:
    """A client with one key. Safe to share between threads."""

    key: str = field(repr=False)
    queue_url: str = DEFAULT_QUEUE_URL
    submit_seconds_max: float = SUBMIT_SECONDS_MAX

    def submit(
        self, endpoint: str, arguments: Mapping[str, Any], *, webhook_url: str, start_timeout_seconds: int
    ) -> ProviderReceipt:
        """Submit a job with a single POST.

        Args:
            endpoint: fal's ID of the endpoint.
            arguments: The inputs, as `Model.arguments` returns them.
            webhook_url: Where fal sends the callback.
            start_timeout_seconds: fal gives up if the job has not started by then.

        Raises:
            Rejected: fal will never accept it.
            Unavailable: fal did not accept it now. Unreachable: it was not asked.
            Forbidden: fal refuses the key or the account, or the key is malformed.
            AnswerLost: fal may have accepted it.
        """

        def post() -> fal_client.SyncRequestHandle:
            return self._paid.submit(
                endpoint, dict(arguments), webhook_url=webhook_url, start_timeout=start_timeout_seconds
            )

        self._require_key()
        try:
            handle = _within(self.submit_seconds_max, post)
        except TimeoutError as error:
            # The POST may still be on its way.
            raise AnswerLost(f"no response within {self.submit_seconds_max} s") from error
        except (KeyError, TypeError, ValueError) as error:
            # fal_client cannot read the body of a 2xx: the job may well exist.
            raise AnswerLost(f"fal's receipt cannot be read: {error!r}"[:DETAIL_CHARACTERS_MAX]) from error
        # The id becomes a column and part of the URLs, so it has to be short and plain, and no "..".
        if not isinstance(handle.request_id, str) or not re.fullmatch(r"\w[\w.:-]{0,99}", handle.request_id, re.ASCII):
            raise AnswerLost("fal's receipt has no usable request id")
        return self.checked_receipt(
            endpoint,
            ProviderReceipt(
                request_id=handle.request_id,
                status_url=handle.status_url,
                response_url=handle.response_url,
                cancel_url=handle.cancel_url,
            ),
        )

    def checked_receipt(self, endpoint: str, receipt: ProviderReceipt) -> ProviderReceipt:
        """Return the receipt if its URLs are those of its own job at fal, else one with URLs that are built for it.

        The job exists and its request id is good, whatever the URLs are.
        """
        if receipts.is_of_own_job(receipt, endpoint, homes=self._homes):
            return receipt
        logger.warning("the URLs of a receipt are not those of its job", extra={"request_id": receipt.request_id})
        return self.receipt_for(endpoint, receipt.request_id)

    def receipt_for(self, endpoint: str, request_id: str) -> ProviderReceipt:
        """Return the receipt of a job whose own receipt was lost, with URLs built by fal's rule."""
        return receipts.derive(self.queue_url, endpoint, request_id)

    def status(self, status_url: str) -> wire.Queued | wire.Running | wire.Finished:
        """Ask how far a job is.

        Raises:
            Gone: fal does not know the job.
            Forbidden: fal refuses the key, or the URL is not fal's.
            Unavailable: There is no answer now.
        """
        response = self._ask("GET", f"{status_url}?logs=1")
        if response.status_code in (404, 410):
            raise Gone("fal does not know the request")
        if response.status_code in (401, 403):
            raise Forbidden(f"{response.status_code} for the status")
        # fal answers 202 while the job is queued or running.
        if response.status_code not in (200, 202):
            wait = wire.retry_after_seconds(response.headers)
            raise Unavailable(f"{response.status_code} for the status", retry_after_seconds=wait)
        return wire.read_status(response.content)

    def result(self, response_url: str) -> wire.Verdict:
        """Ask for the verdict on a job whose status is Finished. Raises Gone, Forbidden, Unavailable."""
        response = self._ask("GET", response_url)
        return wire.read_result(response.status_code, response.headers, response.content)

    def cancel(self, cancel_url: str) -> wire.CancelVerdict:
        """Ask fal to cancel a job. The verdict on the job itself comes later. Raises Forbidden, Unavailable."""
        response = self._ask("PUT", cancel_url)
        return wire.read_cancel(response.status_code, response.content)

    def recorded_requests(
        self, endpoint: str, *, since: datetime, until: datetime, request_id: str | None = None
    ) -> list[wire.RecordedRequest]:
        """Return the jobs of an endpoint in fal's record of requests, with their arguments and answers.

        With it the reconciler finds a job whose receipt was lost, and an answer that has expired.

        Args:
            request_id: Only this job.

        Raises:
            Unavailable: Also if the record has more than ten pages: a page that was not read may list the job.
            Forbidden: fal refuses the key.
        """
        query = {"endpoint_id": endpoint, "start": since.isoformat(), "end": until.isoformat()}
        query |= {"expand": "payloads", "limit": "100"}
        if request_id is not None:
            query["request_id"] = request_id
        found: list[wire.RecordedRequest] = []
        for _ in range(RECORD_PAGES_MAX):
            response = self.platform("models/requests/by-endpoint", query)
            if response.status_code in (401, 403):
                raise Forbidden(f"{response.status_code} for the record of requests")
            if response.status_code != 200:
                raise Unavailable(f"{response.status_code} for the record of requests")
            page = wire.read_record(response.content)
            found += page.items
            if page.next_cursor is None:
                return found
            query["cursor"] = page.next_cursor
        raise Unavailable("fal's record of requests is too long for that time")

    def platform(self, path: str, query: Mapping[str, str], *, method: str = "GET") -> httpx.Response:
        """Return the response of fal's Platform API, whatever its status.

        Raises Unavailable; Forbidden without a key.
        """
        # The simulator serves the Platform API below the address of its queue.
        home = PLATFORM_URL if self.queue_url == DEFAULT_QUEUE_URL else f"{self.queue_url}/v1"
        return self._call(method, f"{home}/{path}?{urlencode(query)}")

    def openapi(self, endpoint: str) -> httpx.Response:
        """Return the response with fal's OpenAPI document of an endpoint, whatever its status. Raises Unavailable.

        The document is on fal's website, so the request goes without the key.
        """
        home = OPENAPI_URL if self.queue_url == DEFAULT_QUEUE_URL else f"{self.queue_url}{urlsplit(OPENAPI_URL).path}"
        return self._call("GET", f"{home}?{urlencode({'endpoint_id': endpoint})}", with_key=False)

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        for name in ("_paid", "_free"):
            client = self.__dict__.pop(name, None)
            if client is not None:
                client.close()

    def _ask(self, method: str, url: str) -> httpx.Response:
        """Make a call about a job. It costs nothing and may be repeated."""
        if not self._is_fals_own(url):
            raise Forbidden("the recorded URL is not fal's; the key is not sent there")
        return self._call(method, url)

    def _call(self, method: str, url: str, *, with_key: bool = True) -> httpx.Response:
        if with_key:
            self._require_key()
        headers = _headers(self.key) if with_key else {"User-Agent": USER_AGENT}
        request = httpx.Request(method, url, headers=headers, extensions={"timeout": ASK_TIMEOUT.as_dict()})
        try:
            return _within(ASK_SECONDS_MAX, lambda: self._free.handle_request(request))
        except TimeoutError as error:
            raise Unavailable(f"no response within {ASK_SECONDS_MAX} s") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__}: {error}"[:DETAIL_CHARACTERS_MAX]) from error

    @property
    def _homes(self) -> list[str]:
        # fal_client switches to the backup host by itself, and the URLs of such a receipt name that host.
        return [self.queue_url, *([BACKUP_QUEUE_URL] if self.queue_url == DEFAULT_QUEUE_URL else [])]

    def _is_fals_own(self, url: str) -> bool:
        return len(url) <= URL_CHARACTERS_MAX and any(_origin(url) == _origin(home) for home in self._homes)

    def _require_key(self) -> None:
        # h11 rejects a key with a newline too, but only after the submission has been recorded as being sent.
        if not re.fullmatch(r"[\x21-\x7e]+", self.key):
            raise Forbidden("FAL_KEY is empty or contains characters that no key has")

    @cached_property
    def _paid(self) -> _PaidClient:
        # fal_client passes default_timeout to httpx unchanged, so it may be more than one number.
        return _PaidClient(key=self.key, queue_url=self.queue_url, default_timeout=cast(float, SUBMIT_TIMEOUT))

    @cached_property
    def _free(self) -> httpx.BaseTransport:
        # The transport alone: a call needs no cookies, redirects or other services of httpx.Client.
        return _Bounded(BackupDomainTransport())


@dataclass(frozen=True)
class _PaidClient(fal_client.SyncClient):
    """fal's client, whose submissions go through `_OnePost`."""

    queue_url: str = DEFAULT_QUEUE_URL

    def close(self) -> None:
        self._client.close()

    @cached_property
    def _client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(
            limits=httpx.Limits(max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=KEPT_SECONDS)
        )
        return httpx.Client(
            transport=_OnePost(_Bounded(BackupDomainTransport(transport=transport)), queue_url=self.queue_url),
            headers=_headers(self.key or ""),
            follow_redirects=False,
        )


class _OnePost(httpx.BaseTransport):
    """Sends a request once, to the configured queue, and turns every outcome but a 2xx into an error of this package.

    It must not raise an error of httpx: fal_client would repeat the request.
    """

    def __init__(self, inner: httpx.BaseTransport, *, queue_url: str) -> None:
        self.inner = inner
        self.queue_url = queue_url

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        # fal_client hard-codes https and reads its host when it is imported. The simulator is at http on loopback.
        path = str(request.url).removeprefix(QUEUE_URL_FORMAT)
        redirected = httpx.Request(
            request.method,
            f"{self.queue_url}/{path}",
            headers=[(name, value) for name, value in request.headers.raw if name.lower() != b"host"],
            content=request.content,
            extensions=request.extensions,
        )
        try:
            response = self.inner.handle_request(redirected)
        except NOT_SENT as error:
            raise Unreachable(f"fal cannot be reached: {error}"[:DETAIL_CHARACTERS_MAX]) from error
        except httpx.LocalProtocolError as error:
            # httpx found a header that cannot be sent, before it sent anything.
            raise Forbidden("the request cannot be written; is FAL_KEY well-formed?") from error
        except httpx.HTTPError as error:
            raise AnswerLost(f"{type(error).__name__}: {error}"[:DETAIL_CHARACTERS_MAX]) from error
        if response.is_success:
            return response
        known = wire.submission_error(response.status_code, response.headers, response.read())
        raise known or AnswerLost(f"{response.status_code} from a gateway")

    def close(self) -> None:
        self.inner.close()


class _Bounded(httpx.BaseTransport):
    """Reads every response in full, up to a size, and refuses compressed ones: they may expand to any size."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = self.inner.handle_request(request)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise httpx.DecodingError("the response is compressed, although that was not requested")
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise httpx.ReadError(f"the response is larger than {ANSWER_BYTES_MAX} bytes")
        finally:
            response.close()
        # The body is at hand now, so the headers about its transfer no longer hold.
        kept = [(name, value) for name, value in response.headers.items() if name not in _TRANSFER_HEADERS]
        return httpx.Response(response.status_code, headers=kept, content=bytes(body), request=request)

    def close(self) -> None:
        self.inner.close()


_TRANSFER_HEADERS = ("transfer-encoding", "content-length")


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Key {key}", "User-Agent": USER_AGENT}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return the scheme, host and port of a URL. A URL that two programs could read in two ways has no origin."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    if parts.username or parts.password or "\\" in url:
        return "", None, None
    return parts.scheme, parts.hostname, port


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return the result of a call, or raise TimeoutError.

    An abandoned call goes on in its thread; its result is dropped.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name="fal").start()
    return outcome.result(timeout=seconds)
