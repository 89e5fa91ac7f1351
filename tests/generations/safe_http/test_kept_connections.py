"""Connections that are kept for the next file of the same host."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from generations.safe_http import client as http_client
from generations.safe_http import connections
from generations.safe_http.client import AddressRefused, TryLater
from tests.helpers.certificates import Authority
from tests.helpers.scripted_servers import Connection, Handler, ScriptedResolver, Server, respond, serving
from tests.services.waiting import HANG_SECONDS, until

pytestmark = [pytest.mark.once, pytest.mark.slow]

FOX = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nfox"


@pytest.fixture(autouse=True)
def no_kept_connections() -> Iterator[None]:
    connections.close_kept()
    yield
    connections.close_kept()


def fetch(
    server: Server, *, keeps: bool = True, host: str = "127.0.0.1", pattern: str = "", scheme: str = "http"
) -> bytes:
    sink = io.BytesIO()
    http_client.stream(
        f"{scheme}://{host}:{server.port}/file",
        sink,
        hosts=[pattern or f"{host}:{server.port}"],
        bytes_max=1000,
        seconds_max=HANG_SECONDS,
        keeps_connection=keeps,
    )
    return sink.getvalue()


def next_request(connection: Connection) -> bytes:
    """The head of the next request on this connection; nothing if the client closes it."""
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.socket.recv(65536)):
        head += data
    return head


def answer_each(connection: Connection) -> None:
    connection.send(FOX)
    while next_request(connection):
        connection.send(FOX)


def answer_first(then: bytes) -> Handler:
    """Answers the first request of each connection, and the second with these bytes before it closes the connection."""

    def behave(connection: Connection) -> None:
        connection.send(FOX)
        if next_request(connection):
            connection.send(then)

    return behave


def test_the_next_file_of_the_same_host_comes_over_the_same_connection() -> None:
    with serving(answer_each) as server:
        assert [fetch(server) for _ in range(3)] == [b"fox"] * 3

        assert server.connections == 1
        connections.close_kept()


def test_over_tls_as_well(authority: Authority, resolver: ScriptedResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(authority.path))
    resolver.resolve_to("v3.fal.media", ["127.0.0.1"])
    with serving(answer_each, tls=authority.server("v3.fal.media")) as server:
        assert [fetch(server, host="v3.fal.media", scheme="https") for _ in range(2)] == [b"fox"] * 2

        assert server.connections == 1
        connections.close_kept()


def test_a_caller_that_keeps_no_connection_uses_none() -> None:
    with serving(answer_each) as server:
        fetch(server)
        fetch(server, keeps=False)

        assert server.connections == 2
        connections.close_kept()


def test_a_connection_to_a_private_address_is_not_used_for_a_pattern_that_permits_none() -> None:
    with serving(answer_each) as server:
        fetch(server)

        with pytest.raises(AddressRefused, match="not public"):
            fetch(server, pattern=f"*:{server.port}")
        connections.close_kept()


def test_a_connection_that_the_server_has_closed_is_not_used() -> None:
    with serving(respond("200 OK", "Content-Length: 3", body=b"fox")) as server:
        assert [fetch(server) for _ in range(2)] == [b"fox"] * 2

    assert server.connections == 2


def test_a_request_that_meets_the_end_of_a_kept_connection_is_sent_again() -> None:
    """The server closes the connection when it has received the request, without an answer."""
    with serving(answer_first(then=b"")) as server:
        assert [fetch(server) for _ in range(2)] == [b"fox"] * 2

        assert server.connections == 2
        connections.close_kept()


def test_a_request_is_sent_again_only_once() -> None:
    def answer_only_the_first(connection: Connection) -> None:
        if server.connections == 1:
            answer_first(then=b"")(connection)

    with serving(answer_only_the_first) as server:
        fetch(server)

        with pytest.raises(TryLater, match="closed connection"):
            fetch(server)
        assert server.connections == 2


def test_bytes_that_were_not_asked_for_end_the_connection() -> None:
    def send_more(connection: Connection) -> None:
        connection.send(FOX)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ncat")
        sent.append(True)
        next_request(connection)

    sent: list[bool] = []
    with serving(send_more) as server:
        fetch(server)
        until(lambda: sent)

        assert fetch(server) == b"fox"
        connections.close_kept()


def test_a_response_that_was_not_read_to_its_end_ends_the_connection() -> None:
    with serving(respond("404 Not Found", "Content-Length: 1000", body=b"x")) as server:
        for _ in range(2):
            with pytest.raises(http_client.Missing):
                fetch(server)

    assert server.connections == 2


def test_a_slow_answer_over_a_kept_connection_ends_at_the_deadline() -> None:
    def answer_once(connection: Connection) -> None:
        connection.send(FOX)
        connection.pause(HANG_SECONDS)

    with serving(answer_once) as server:
        fetch(server)

        with pytest.raises(TryLater, match="it took too long"):
            http_client.stream(
                f"{server.url}/file",
                io.BytesIO(),
                hosts=[server.host],
                bytes_max=10,
                seconds_max=0.3,
                keeps_connection=True,
            )
        assert server.connections == 1


def test_the_number_of_kept_connections_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEPT_MAX", 1)
    with serving(answer_each) as first, serving(answer_each) as second:
        fetch(first), fetch(second)
        assert len(connections._kept._connections) == 1

        fetch(second), fetch(first)
        assert (first.connections, second.connections) == (2, 1)
        connections.close_kept()
