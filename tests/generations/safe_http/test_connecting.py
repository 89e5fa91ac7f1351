"""Which addresses the client connects to, and which never."""

from __future__ import annotations

import errno
import io
import socket
import struct
from pathlib import Path

import pytest
import requests.adapters

from generations.safe_http import client as http_client
from generations.safe_http.client import AddressRefused, HostRefused, TryLater
from tests.helpers.certificates import Authority
from tests.helpers.scripted_servers import Connection, Handler, ScriptedResolver, fetch, respond, serving
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.once, pytest.mark.slow]

PUBLIC, ANOTHER = "93.184.216.34", "151.101.1.69"


def fetch_from_fal() -> None:
    http_client.fetch(
        "https://v3.fal.media/x", io.BytesIO(), hosts=["*.fal.media"], bytes_max=10, seconds_max=HANG_SECONDS
    )


# --- Names ---


@pytest.mark.parametrize(
    "resolved",
    [
        *(["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"]),
        *(["::1"], ["fe80::1%eth0"], ["64:ff9b::a00:1"], ["::ffff:10.0.0.1"]),
        *([PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC]),
    ],
    ids=str,
)
def test_c16_a_name_with_a_private_address_is_refused(resolver: ScriptedResolver, resolved: list[str]) -> None:
    """One private address among public ones is enough."""
    resolver.resolve_to("v3.fal.media", resolved)

    with pytest.raises(HostRefused, match="resolves to an address that is not public"):
        fetch_from_fal()

    assert resolver.connected == []


@pytest.mark.parametrize("url", ["https://10.0.0.1/x", "https://[fd00::1]/x", "https://127.1/x"])
def test_c16_a_private_address_in_the_url_itself_is_refused_for_good(resolver: ScriptedResolver, url: str) -> None:
    with pytest.raises(AddressRefused, match="not public"):
        http_client.fetch(url, io.BytesIO(), hosts=["*"], bytes_max=10, seconds_max=HANG_SECONDS)

    assert resolver.connected == []


def test_c17_a_name_is_resolved_once_and_the_checked_address_is_used(resolver: ScriptedResolver) -> None:
    resolver.resolve_to("v3.fal.media", [PUBLIC], ["127.0.0.1"])

    with pytest.raises(TryLater):
        fetch_from_fal()

    assert resolver.resolved == ["v3.fal.media"]
    assert resolver.connected == [(PUBLIC, 443)]


def test_a_wildcard_pattern_permits_no_private_address(resolver: ScriptedResolver) -> None:
    resolver.resolve_to("cdn.localhost", ["127.0.0.1"])

    with pytest.raises(HostRefused, match="not public"):
        http_client.fetch(
            "https://cdn.localhost:9000/x",
            io.BytesIO(),
            hosts=["*.localhost:9000"],
            bytes_max=10,
            seconds_max=HANG_SECONDS,
        )


def test_at_most_four_addresses_of_a_name_are_tried(resolver: ScriptedResolver) -> None:
    resolver.resolve_to("v3.fal.media", [PUBLIC, ANOTHER, "1.1.1.1", "8.8.8.8", "9.9.9.9", PUBLIC])

    with pytest.raises(TryLater):
        fetch_from_fal()

    assert resolver.connected == [(address, 443) for address in (PUBLIC, ANOTHER, "1.1.1.1", "8.8.8.8")]


def test_the_second_address_is_used_if_the_first_refuses(resolver: ScriptedResolver) -> None:
    with serving(respond("200 OK", "Content-Length: 3", body=b"fox")) as server:
        resolver.resolve_to("localhost", ["127.0.0.2", "127.0.0.1"])

        body, _ = fetch(server, host="localhost")

    assert body == b"fox"
    assert [address for address, _ in resolver.connected] == ["127.0.0.2", "127.0.0.1"]


def test_a_name_without_an_address_may_be_tried_later(resolver: ScriptedResolver) -> None:
    resolver.resolve_to("v3.fal.media", [])

    with pytest.raises(TryLater, match="no address"):
        fetch_from_fal()


def test_a_name_that_is_not_found_may_be_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)

    with pytest.raises(TryLater, match="Name or service not known"):
        fetch_from_fal()


# --- Connections ---


def test_a_refused_connection_may_be_tried_later() -> None:
    with serving(respond("200 OK")) as server:
        pass

    with pytest.raises(TryLater, match="refused"):
        fetch(server)


def test_a_reset_while_connecting_may_be_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the chaos test: urllib3 ignored the reset and continued with a socket that did not exist."""

    def reset(*_: object, **__: object) -> socket.socket:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(socket, "create_connection", reset)

    with pytest.raises(TryLater, match="Connection reset by peer"):
        http_client.fetch(
            "http://127.0.0.1:9/x.png", io.BytesIO(), hosts=["127.0.0.1:9"], bytes_max=9, seconds_max=HANG_SECONDS
        )


def reset_on_close(connection: Connection) -> None:
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "behave, detail",
    [(reset_on_close, "reset by peer"), (lambda connection: None, "closed connection")],
    ids=["reset", "closed"],
)
def test_a_connection_that_breaks_may_be_tried_later(behave: Handler, detail: str) -> None:
    with serving(behave) as server, pytest.raises(TryLater, match=detail):
        fetch(server)

    assert server.connections == 1


def test_an_error_does_not_repeat_the_url() -> None:
    """The URL may contain a signature, and errors are logged."""
    with serving(respond("200 OK")) as server:
        pass

    with pytest.raises(TryLater) as refusal:
        http_client.fetch(
            f"{server.url}/x?X-Goog-Signature=secret",
            io.BytesIO(),
            hosts=[server.host],
            bytes_max=10,
            seconds_max=HANG_SECONDS,
        )

    assert str(refusal.value) == "ConnectionRefusedError: [Errno 111] Connection refused"


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308", "300", "304"])
def test_c14_a_redirect_is_not_followed(status: str) -> None:
    """Not even to a host that is allowed."""
    with serving(respond("200 OK")) as canary:
        redirect = respond(f"{status} Elsewhere", f"Location: {canary.url}/x", "Content-Length: 0")
        with serving(redirect) as server, pytest.raises(AddressRefused, match="redirects are not followed"):
            fetch(server, also_from=canary.host)

    assert (server.connections, canary.connections) == (1, 0)


def test_proxies_and_passwords_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("default login thief password secret\n")
    with serving(respond("200 OK")) as proxy, serving(respond("200 OK", "Content-Length: 3", body=b"fox")) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

        body, _ = fetch(server)

    assert (body, proxy.connections) == (b"fox", 0)
    assert b"Authorization" not in server.requests[0]


def test_the_request_reveals_little() -> None:
    with serving(respond("200 OK", "Content-Length: 0")) as server:
        fetch(server)

    head = server.requests[0].decode().split("\r\n")
    assert head[0] == "GET /file HTTP/1.1"
    assert {line.partition(":")[0] for line in head[1:] if line} == {
        *("Host", "User-Agent", "Accept-Encoding", "Accept")
    }
    assert {f"Host: {server.host}", "Accept-Encoding: identity", "User-Agent: limn"} <= set(head)


# --- Certificates ---


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The client trusts this authority."""
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(authority.path))
    return authority


def test_a_file_is_fetched_over_tls(trusted: Authority, resolver: ScriptedResolver) -> None:
    """The connection goes to the address; the certificate and the Host header are those of the name."""
    resolver.resolve_to("v3.fal.media", ["127.0.0.1"])
    with serving(respond("200 OK", body=b"fox"), tls=trusted.server("v3.fal.media")) as server:
        body, _ = fetch(server, scheme="https", host="v3.fal.media")

    assert body == b"fox"
    assert f"Host: v3.fal.media:{server.port}".encode() in server.requests[0]


@pytest.mark.parametrize("name, days", [("evil.example", 1), ("v3.fal.media", -1)], ids=["another name", "expired"])
def test_c19_a_wrong_certificate_ends_the_connection(
    trusted: Authority, resolver: ScriptedResolver, name: str, days: int
) -> None:
    resolver.resolve_to("v3.fal.media", ["127.0.0.1"])
    with serving(respond("200 OK", body=b"fox"), tls=trusted.server(name, days=days)) as server:
        with pytest.raises(TryLater, match="certificate"):
            fetch(server, scheme="https", host="v3.fal.media")

    assert (server.connections, server.requests) == (1, [])


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_c19_an_unknown_authority_ends_the_connection(
    authority: Authority, resolver: ScriptedResolver, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Even if the environment names it as trusted."""
    monkeypatch.setenv(variable, str(authority.path))
    resolver.resolve_to("v3.fal.media", ["127.0.0.1"])
    with serving(respond("200 OK"), tls=authority.server("v3.fal.media")) as server:
        with pytest.raises(TryLater, match="certificate"):
            fetch(server, scheme="https", host="v3.fal.media")

    assert server.requests == []
