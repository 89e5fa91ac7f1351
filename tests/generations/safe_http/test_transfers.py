"""What comes over the line: how much, how fast, how whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import tracemalloc
from collections.abc import Callable

import pytest

from generations.safe_http import client as http_client
from generations.safe_http.client import FetchError, Missing, TooLarge, TryLater
from tests.helpers.scripted_servers import Behaviour, Server, Visit, fetch, says, serving
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.once, pytest.mark.slow]

FILE = bytes(range(256)) * 1024


def _chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


@pytest.mark.parametrize(
    "behave",
    [
        says("200 OK", f"Content-Length: {len(FILE)}", body=FILE),
        says("200 OK", f"Content-Length: 000{len(FILE)}", "Content-Encoding: identity", body=FILE),
        says("200 OK", "Connection: close", body=FILE),
        says("200 OK", "Transfer-Encoding: chunked", body=_chunked(FILE[:70_000], FILE[70_000:])),
        says("200 OK", "Content-Type: text/html", "Content-Length: nonsense", body=FILE),
        says("200 OK", f"Content-Length: {len(FILE)}", body=FILE + b"and more"),
    ],
    ids=["length", "zeros", "until the end", "chunked", "a length that is none", "beyond the length"],
)
def test_a_file_comes_whole(behave: Behaviour) -> None:
    with serving(behave) as server:
        body, fetched = fetch(server)

    assert body == FILE
    assert (fetched.size_bytes, fetched.sha256) == (len(FILE), hashlib.sha256(FILE).hexdigest())


def test_an_empty_file_is_a_file() -> None:
    with serving(says("200 OK", "Content-Length: 0")) as server:
        assert fetch(server)[1].size_bytes == 0


@pytest.mark.parametrize(
    "behave",
    [
        says("200 OK", f"Content-Length: {len(FILE)}", body=FILE[:-1]),
        says("200 OK", f"Content-Length: {len(FILE)}"),
        says("200 OK", "Transfer-Encoding: chunked", body=_chunked(FILE, end=b"")),
        says("200 OK", "Transfer-Encoding: chunked", body=_chunked(FILE)[:70_000]),
        says("200 OK", "Transfer-Encoding: chunked", body=b"nonsense\r\n"),
    ],
    ids=["one byte missing", "all missing", "no last chunk", "within a chunk", "no chunk at all"],
)
def test_a_file_that_is_cut_short_is_tried_again(behave: Behaviour) -> None:
    """C4."""
    with serving(behave) as server, pytest.raises(TryLater):
        fetch(server)

    assert server.connections == 1


def test_a_file_of_unknown_length_that_is_cut_short_looks_whole() -> None:
    """C4: this is why the copier compares with fal's file_size, and decodes."""
    with serving(says("200 OK", "Connection: close", body=FILE[:1000])) as server:
        assert fetch(server)[1].size_bytes == 1000


# --- Too much ---


@pytest.mark.parametrize("declared", ["262143", "5000000000", "9" * 5000])
def test_a_file_that_is_declared_too_large_is_not_read(declared: str) -> None:
    """C9."""
    sink = io.BytesIO()
    with serving(says("200 OK", f"Content-Length: {declared}", body=FILE)) as server, pytest.raises(TooLarge):
        http_client.fetch(f"{server.url}/x", sink, hosts=[server.host], bytes_max=262_142, seconds_max=HANG_SECONDS)

    assert sink.getvalue() == b""


@pytest.mark.parametrize("declared", ["-5", "²", "12, 13", "1e3", "0x10", ""])
def test_a_length_that_is_none_breaks_nothing(declared: str) -> None:
    with serving(says("200 OK", f"Content-Length: {declared}", body=b"fox")) as server:
        assert _outcome(server) in ("", "fox", "TryLater")


def _outcome(server: Server) -> str:
    try:
        return fetch(server)[0].decode()
    except FetchError as error:
        return type(error).__name__


def _without_end(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while visit.pause(0):
        visit.send(bytes(65536))


def test_a_file_without_end_is_cut_off() -> None:
    """C7: no more is kept than allowed."""
    sink = io.BytesIO()
    with serving(_without_end) as server, pytest.raises(TooLarge, match="more than 1000000 bytes"):
        http_client.fetch(f"{server.url}/x", sink, hosts=[server.host], bytes_max=1_000_000, seconds_max=HANG_SECONDS)

    assert len(sink.getvalue()) <= 1_000_000


def test_the_last_allowed_byte_is_allowed() -> None:
    with serving(says("200 OK", body=FILE)) as server:
        assert len(fetch(server, bytes_max=len(FILE))[0]) == len(FILE)


def test_the_first_byte_too_many_is_too_many() -> None:
    with serving(says("200 OK", body=FILE)) as server, pytest.raises(TooLarge):
        fetch(server, bytes_max=len(FILE) - 1)


class _Nowhere(io.BytesIO):
    def write(self, data: object, /) -> int:
        return 0


def test_a_large_file_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        with serving(_without_end) as server, pytest.raises(TooLarge):
            http_client.fetch(
                f"{server.url}/x",
                _Nowhere(),
                hosts=[server.host],
                bytes_max=40_000_000,
                seconds_max=HANG_SECONDS,
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8_000_000


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip"])
def test_a_packed_answer_is_refused_unread(encoding: str) -> None:
    """C10: a bomb is never unpacked."""
    bomb = gzip.compress(bytes(10_000_000))
    sink = io.BytesIO()
    with serving(says("200 OK", f"Content-Encoding: {encoding}", body=bomb)) as server:
        with pytest.raises(TryLater, match="packed"):
            http_client.fetch(f"{server.url}/x", sink, hosts=[server.host], bytes_max=10**9, seconds_max=HANG_SECONDS)

    assert sink.getvalue() == b""


# --- Too slow ---


def _drip(head: bytes, drop: bytes) -> Behaviour:
    def behave(visit: Visit) -> None:
        visit.send(head)
        while visit.pause(0.02):
            visit.send(drop)

    return behave


def _silent(visit: Visit) -> None:
    visit.pause(HANG_SECONDS)


SLOW: dict[str, Behaviour] = {
    "in the status line": _drip(b"HTTP/1.1 200 ", b"O"),
    "in the headers": _drip(b"HTTP/1.1 200 OK\r\nX-", b"x"),
    "between headers": _drip(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n"),
    "in a body with a length": _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "in a body without a length": _drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "in a chunk": _drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n", b"x"),
    "between chunks": _drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "not at all": _silent,
    "after the headers": _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b""),
}


@pytest.mark.parametrize("behave", SLOW.values(), ids=SLOW)
def test_who_answers_drop_by_drop_is_cut_off(behave: Behaviour) -> None:
    """C8: the whole transfer has a deadline, not each read."""
    with serving(behave) as server, pytest.raises(TryLater, match="too long"):
        fetch(server, seconds_max=0.3)


def test_a_deadline_that_has_passed_is_named() -> None:
    with serving(SLOW["in a body without a length"]) as server, pytest.raises(TryLater, match="it took too long"):
        fetch(server, seconds_max=0.3)


def test_tls_that_never_begins_is_cut_off() -> None:
    with serving(_silent) as server:
        with pytest.raises(TryLater, match="it took too long"):
            fetch(server, scheme="https", seconds_max=0.3)


def test_who_was_dialled_too_late_is_cut_off_at_once() -> None:
    with serving(_without_end) as server, pytest.raises(TryLater):
        fetch(server, seconds_max=0)


# --- Other answers ---


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_missing(status: int) -> None:
    """C1, C2, C28."""
    with serving(says(f"{status} No", "Content-Length: 0")) as server, pytest.raises(Missing, match=str(status)):
        fetch(server)


@pytest.mark.parametrize("status", [201, 204, 206, 400, 401, 408, 429, 500, 502, 503, 504, 599])
def test_what_stumbles_is_tried_later(status: int) -> None:
    """C3."""
    with serving(says(f"{status} Hm", "Content-Length: 0")) as server, pytest.raises(TryLater, match=str(status)):
        fetch(server)


def test_a_server_can_ask_for_a_wait_of_at_most_an_hour() -> None:
    for value, seconds in (("0", 0), ("120", 120), ("999999", 3600), ("", None), ("soon", None)):
        with serving(says("429 Slow down", f"Retry-After: {value}", "Content-Length: 0")) as server:
            with pytest.raises(TryLater) as refusal:
                fetch(server)

        assert refusal.value.retry_after_seconds == seconds


def test_what_is_no_http_at_all_is_tried_later() -> None:
    with serving(lambda visit: visit.send(b"SSH-2.0-OpenSSH_9.2\r\n")) as server, pytest.raises(TryLater):
        fetch(server)


def _headers(count: int, length: int) -> Callable[[Visit], None]:
    return says("200 OK", *(f"X-{n}: {'x' * length}" for n in range(count)), body=b"fox")


@pytest.mark.parametrize("behave", [_headers(200, 10), _headers(1, 70_000)], ids=["many", "long"])
def test_headers_without_end_are_refused(behave: Behaviour) -> None:
    with serving(behave) as server, pytest.raises(TryLater):
        fetch(server)


def test_a_full_disk_is_tried_later() -> None:
    """C29."""

    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(28, "No space left on device")

    with serving(says("200 OK", body=FILE)) as server, pytest.raises(TryLater, match="No space left"):
        http_client.fetch(f"{server.url}/x", Full(), hosts=[server.host], bytes_max=10**6, seconds_max=HANG_SECONDS)
