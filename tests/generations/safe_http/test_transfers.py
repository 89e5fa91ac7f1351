"""Transfers: complete or not, too large, too slow, and with unusual responses."""

from __future__ import annotations

import gzip
import hashlib
import io
import tracemalloc

import pytest

from generations.safe_http import client as http_client
from generations.safe_http import connections
from generations.safe_http.client import AddressRefused, FetchError, Missing, TooLarge, TryLater, Unproven
from tests.helpers.scripted_servers import Connection, Handler, Server, fetch, respond, serving
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.once, pytest.mark.slow]

FILE = bytes(range(256)) * 1024


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def outcome(server: Server, **limits: float) -> str:
    """The class of the error with which a fetch ends, or the file."""
    try:
        return fetch(server, **limits)[0].decode("latin-1")  # type: ignore[arg-type]
    except FetchError as error:
        return type(error).__name__


# --- Complete and incomplete ---

MARKED = {
    "with a length": respond("200 OK", f"Content-Length: {len(FILE)}", body=FILE),
    "with zeros": respond("200 OK", f"Content-Length: 000{len(FILE)}", "Content-Encoding: identity", body=FILE),
    "in chunks": respond("200 OK", "Transfer-Encoding: chunked", body=chunked(FILE[:70_000], FILE[70_000:])),
    "in chunks and with a length": respond(
        "200 OK", "Transfer-Encoding: chunked", "Content-Length: 5", body=chunked(FILE[:70_000], FILE[70_000:])
    ),
    "with more bytes": respond("200 OK", f"Content-Length: {len(FILE)}", body=FILE + b"and more"),
}
UNMARKED = {
    "until the end": respond("200 OK", "Connection: close", body=FILE),
    "with nonsense": respond("200 OK", "Content-Type: text/html", "Content-Length: nonsense", body=FILE),
    "of HTTP/1.0": lambda connection: connection.send(b"HTTP/1.0 200 OK\r\n\r\n" + FILE),
}


@pytest.mark.parametrize("behave", {**MARKED, **UNMARKED}.values(), ids=[*MARKED, *UNMARKED])
def test_c5_a_file_arrives_complete_and_is_known_to_be_so_if_its_end_is_marked(behave: Handler) -> None:
    with serving(behave) as server:
        body, fetched = fetch(server)

    assert body == FILE
    assert (fetched.size_bytes, fetched.sha256) == (len(FILE), hashlib.sha256(FILE).hexdigest())
    assert fetched.end_is_marked is (behave in MARKED.values())


def test_an_empty_file_is_a_file() -> None:
    with serving(respond("200 OK", "Content-Length: 0")) as server:
        assert fetch(server)[1].size_bytes == 0


INCOMPLETE = {
    "one byte missing": respond("200 OK", f"Content-Length: {len(FILE)}", body=FILE[:-1]),
    "all missing": respond("200 OK", f"Content-Length: {len(FILE)}"),
    "no last chunk": respond("200 OK", "Transfer-Encoding: chunked", body=chunked(FILE, end=b"")),
    "within a chunk": respond("200 OK", "Transfer-Encoding: chunked", body=chunked(FILE)[:70_000]),
    "not a chunk": respond("200 OK", "Transfer-Encoding: chunked", body=b"nonsense\r\n"),
}


@pytest.mark.parametrize("behave", INCOMPLETE.values(), ids=INCOMPLETE)
def test_c4_a_truncated_file_may_be_tried_later(behave: Handler) -> None:
    with serving(behave) as server, pytest.raises(TryLater):
        fetch(server)

    assert server.connections == 1


def test_c5_the_end_of_a_truncated_file_of_unknown_length_is_not_marked() -> None:
    for lines in ([], ["Connection: close"], ["Content-Length: 1_0"], ["Content-Length: +5"], ["Content-Length: -1"]):
        with serving(respond("200 OK", *lines, body=FILE[:1000])) as server:
            assert fetch(server)[1].end_is_marked is False, lines


def test_a_response_with_another_transfer_coding_is_refused() -> None:
    """What was not asked for would be stored as it was sent."""
    for coding in ("gzip, chunked", "gzip", "identity", "chunked, chunked"):
        with serving(respond("200 OK", f"Transfer-Encoding: {coding}", body=chunked(FILE))) as server:
            assert outcome(server) == "TryLater", coding


# --- The second question ---

SIZE = 500
# What a server answers to HEAD and to a GET of a range, and whether a file of 500 bytes is whole then.
ANSWERS: dict[str, tuple[list[str], list[str], object]] = {
    "HEAD agrees": (["200 OK", "Content-Length: 500"], [], True),
    "HEAD names more": (["200 OK", "Content-Length: 1000"], [], False),
    "HEAD names one more": (["200 OK", "Content-Length: 501"], [], False),
    "HEAD is refused, nothing follows": (["405 No"], ["416 No", "Content-Range: bytes */500"], True),
    "HEAD is forbidden, more follows": (["403 No"], ["206 Yes", "Content-Range: bytes 500-999/1000"], False),
    "HEAD names nothing": (["200 OK", "Content-Length: 0"], ["416 No", "Content-Range: bytes */500"], True),
    "HEAD has no length": (["200 OK"], ["416 No", "Content-Range: bytes */1000"], False),
    "HEAD is compressed": (
        ["200 OK", "Content-Encoding: gzip", "Content-Length: 900"],
        ["416 No", "Content-Range: bytes */500"],
        True,
    ),
    "HEAD names chunks": (
        ["200 OK", "Transfer-Encoding: chunked", "Content-Length: 900"],
        ["416 No", "Content-Range: bytes */500"],
        True,
    ),
    "HEAD redirects": (["302 Away", "Location: /x", "Content-Length: 900"], ["200 OK", "Content-Length: 500"], True),
    "ranges are unknown": (["404 No"], ["200 OK", "Content-Length: 1000"], False),
    "both are refused": (["405 No"], ["403 No"], "Unproven"),
    "both fail": (["503 Later"], ["429 Later", "Retry-After: 9"], "Unproven"),
    "both are silent": ([], [], "Unproven"),
    "both name fewer bytes": (["200 OK", "Content-Length: 3"], ["416 No", "Content-Range: bytes */3"], "Unproven"),
    "no length at all": (["200 OK"], ["200 OK"], "Unproven"),
    "the length is unknown": (["405 No"], ["206 Yes", "Content-Range: bytes 500-999/*"], "Unproven"),
    "the lengths are nonsense": (
        ["200 OK", "Content-Length: 5e2"],
        ["416 No", "Content-Range: bytes */five"],
        "Unproven",
    ),
    "a range without its header": (["405 No"], ["206 Yes", "Content-Length: 500"], "Unproven"),
}


@pytest.mark.parametrize("head, ranged, expected", ANSWERS.values(), ids=ANSWERS)
def test_c5_a_second_question_tells_whether_a_file_is_whole(
    head: list[str], ranged: list[str], expected: object
) -> None:
    def answer(connection: Connection) -> None:
        lines = head if connection.request.startswith(b"HEAD ") else ranged
        if lines:
            respond(*lines)(connection)

    found: object
    with serving(answer) as server:
        try:
            found = http_client.is_whole(f"{server.url}/x", SIZE, hosts=[server.host], seconds_max=HANG_SECONDS)
        except FetchError as error:
            found = type(error).__name__

    assert found == expected


def test_the_second_question_asks_for_what_follows_the_file() -> None:
    with serving(respond("404 No")) as server, pytest.raises(Unproven):
        http_client.is_whole(f"{server.url}/x", SIZE, hosts=[server.host], seconds_max=HANG_SECONDS)

    head, ranged = server.requests
    assert head.startswith(b"HEAD /x ")
    assert ranged.startswith(b"GET /x ")
    assert b"\r\nRange: bytes=500-\r\n" in ranged
    assert all(b"\r\nAccept-Encoding: identity\r\n" in request for request in server.requests)


def test_the_second_question_goes_to_permitted_hosts_only() -> None:
    with serving(respond("200 OK", "Content-Length: 500")) as server, pytest.raises(AddressRefused):
        http_client.is_whole(f"{server.url}/x", SIZE, hosts=["fal.media"], seconds_max=HANG_SECONDS)

    assert server.requests == []


# --- Too large ---


@pytest.mark.parametrize("declared", ["262143", "5000000000", "9" * 5000], ids=["one too many", "5 GB", "5000 digits"])
def test_c9_a_file_that_is_declared_too_large_is_not_read(declared: str) -> None:
    sink = io.BytesIO()
    with serving(respond("200 OK", f"Content-Length: {declared}", body=FILE)) as server, pytest.raises(TooLarge):
        http_client.fetch(f"{server.url}/x", sink, hosts=[server.host], bytes_max=262_142, seconds_max=HANG_SECONDS)

    assert sink.getvalue() == b""


def test_a_malformed_length_is_harmless() -> None:
    for declared in ("-5", "²", "12, 13", "1e3", "0x10", ""):
        with serving(respond("200 OK", f"Content-Length: {declared}", body=b"fox")) as server:
            assert outcome(server) in ("", "fox", "TryLater")


def without_end(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while connection.pause(0):
        connection.send(bytes(65536))


def test_c7_an_endless_file_is_cut_off_at_the_limit() -> None:
    sink = io.BytesIO()
    with serving(without_end) as server, pytest.raises(TooLarge, match="more than 1000000 bytes"):
        http_client.fetch(f"{server.url}/x", sink, hosts=[server.host], bytes_max=1_000_000, seconds_max=HANG_SECONDS)

    assert len(sink.getvalue()) <= 1_000_000


def test_the_limit_is_exact() -> None:
    with serving(respond("200 OK", body=FILE)) as server:
        assert len(fetch(server, bytes_max=len(FILE))[0]) == len(FILE)
        with pytest.raises(TooLarge):
            fetch(server, bytes_max=len(FILE) - 1)


class Discard(io.BytesIO):
    def write(self, data: object, /) -> int:
        return 0


def test_a_large_file_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        with serving(without_end) as server, pytest.raises(TooLarge):
            http_client.fetch(
                f"{server.url}/x", Discard(), hosts=[server.host], bytes_max=40_000_000, seconds_max=HANG_SECONDS
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8_000_000


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip"])
def test_c10_a_compressed_response_is_refused_unread(encoding: str) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    sink = io.BytesIO()
    with serving(respond("200 OK", f"Content-Encoding: {encoding}", body=bomb)) as server:
        with pytest.raises(TryLater, match="compressed"):
            http_client.fetch(f"{server.url}/x", sink, hosts=[server.host], bytes_max=10**9, seconds_max=HANG_SECONDS)

    assert sink.getvalue() == b""


# --- Too slow ---


def drips(head: bytes, drop: bytes) -> Handler:
    """Sends `head`, and then `drop` again and again."""

    def behave(connection: Connection) -> None:
        connection.send(head)
        while connection.pause(0.02):
            connection.send(drop)

    return behave


def silent(connection: Connection) -> None:
    connection.pause(HANG_SECONDS)


SLOW: dict[str, Handler] = {
    "in the status line": drips(b"HTTP/1.1 200 ", b"O"),
    "in the headers": drips(b"HTTP/1.1 200 OK\r\nX-", b"x"),
    "between headers": drips(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n"),
    "in a body with a length": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "in a body without a length": drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "in a chunk": drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n", b"x"),
    "between chunks": drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "not at all": silent,
    "after the headers": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b""),
}


@pytest.mark.parametrize("behave", SLOW.values(), ids=SLOW)
def test_c8_a_slow_transfer_ends_at_its_deadline(behave: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline limits the whole transfer: here the time-out of a single read would end none."""
    monkeypatch.setattr(connections, "READ_SECONDS_MAX", None)

    with serving(behave) as server, pytest.raises(TryLater, match="it took too long"):
        fetch(server, seconds_max=0.3)


def test_c8_the_second_question_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS_MAX", None)

    with serving(silent) as server, pytest.raises(Unproven):
        http_client.is_whole(f"{server.url}/x", SIZE, hosts=[server.host], seconds_max=0.3)


def test_a_tls_handshake_that_never_begins_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS_MAX", None)

    with serving(silent) as server, pytest.raises(TryLater, match="it took too long"):
        fetch(server, scheme="https", seconds_max=0.3)


def test_a_connection_made_after_the_deadline_is_shut_down_at_once() -> None:
    with serving(without_end) as server, pytest.raises(TryLater):
        fetch(server, seconds_max=0)


# --- Other responses ---


def test_c1_c2_c3_c28_each_status_has_its_error() -> None:
    """C1, C2 and C28: 403, 404 and 410. C3: everything else."""
    expected = dict.fromkeys([403, 404, 410], "Missing") | dict.fromkeys(
        [201, 204, 206, 400, 401, 408, 429, 500, 502, 503, 504, 599], "TryLater"
    )
    outcomes = {}
    for status in expected:
        with serving(respond(f"{status} Status", "Content-Length: 0")) as server:
            outcomes[status] = outcome(server)

    assert outcomes == expected


def test_an_error_names_the_status() -> None:
    with serving(respond("404 Not Found", "Content-Length: 0")) as server, pytest.raises(Missing, match="404"):
        fetch(server)


def test_retry_after_is_reported_up_to_an_hour() -> None:
    waits = {}
    for value in ("7", "999999", "", "soon"):
        with serving(respond("429 Slow down", f"Retry-After: {value}", "Content-Length: 0")) as server:
            with pytest.raises(TryLater) as refusal:
                fetch(server)
        waits[value] = refusal.value.retry_after_seconds

    assert waits == {"7": 7, "999999": 3600, "": None, "soon": None}


def test_a_response_that_is_not_http_may_be_tried_later() -> None:
    with serving(lambda connection: connection.send(b"SSH-2.0-OpenSSH_9.2\r\n")) as server, pytest.raises(TryLater):
        fetch(server)


def headers(count: int, length: int) -> Handler:
    return respond("200 OK", *(f"X-{number}: {'x' * length}" for number in range(count)), body=b"fox")


@pytest.mark.parametrize("behave", [headers(200, 10), headers(1, 70_000)], ids=["many", "long"])
def test_too_many_or_too_long_headers_are_refused(behave: Handler) -> None:
    with serving(behave) as server, pytest.raises(TryLater):
        fetch(server)


def test_c29_a_full_disk_is_no_error_of_the_server() -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(28, "No space left on device")

    with serving(respond("200 OK", body=FILE)) as server, pytest.raises(OSError, match="No space left"):
        http_client.fetch(f"{server.url}/x", Full(), hosts=[server.host], bytes_max=10**6, seconds_max=HANG_SECONDS)
