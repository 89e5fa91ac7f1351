"""Whom the fetcher dials, and whom it never does."""

from __future__ import annotations

import io
import socket
import struct
from pathlib import Path

import pytest
import requests.adapters

from generations.safe_http import client as http_client
from generations.safe_http.client import AddressRefused, TryLater
from tests.helpers.certificates import Authority
from tests.helpers.scripted_servers import Behaviour, Names, Visit, fetch, says, serving
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.once, pytest.mark.slow]

PUBLIC, ANOTHER = "93.184.216.34", "151.101.1.69"


def _fetch_from_fal() -> None:
    http_client.fetch(
        "https://v3.fal.media/x", io.BytesIO(), hosts=["*.fal.media"], bytes_max=10, seconds_max=HANG_SECONDS
    )


# --- Names ---


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["fe80::1%eth0"],
        ["64:ff9b::a00:1"],
        ["::ffff:10.0.0.1"],
    ],
    ids=str,
)
def test_a_public_name_that_leads_home_is_refused(names: Names, answer: list[str]) -> None:
    """C16."""
    names.lead("v3.fal.media", answer)

    with pytest.raises(AddressRefused, match="resolves to an address that is not public"):
        _fetch_from_fal()

    assert names.dialled == []


@pytest.mark.parametrize("answer", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC]], ids=str)
def test_one_private_address_among_public_ones_is_enough_to_refuse(names: Names, answer: list[str]) -> None:
    names.lead("v3.fal.media", answer)

    with pytest.raises(AddressRefused):
        _fetch_from_fal()

    assert names.dialled == []


def test_a_name_that_changes_its_mind_is_asked_once(names: Names) -> None:
    """C17: what was checked is what is dialled."""
    names.lead("v3.fal.media", [PUBLIC], ["127.0.0.1"])

    with pytest.raises(TryLater):
        _fetch_from_fal()

    assert names.asked == ["v3.fal.media"]
    assert names.dialled == [(PUBLIC, 443)]


def test_a_wildcard_exempts_no_private_address(names: Names) -> None:
    names.lead("cdn.localhost", ["127.0.0.1"])

    with pytest.raises(AddressRefused, match="not public"):
        http_client.fetch(
            "https://cdn.localhost:9000/x",
            io.BytesIO(),
            hosts=["*.localhost:9000"],
            bytes_max=10,
            seconds_max=HANG_SECONDS,
        )


def test_addresses_are_tried_in_turn_but_not_for_ever(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    names.lead("v3.fal.media", [PUBLIC, ANOTHER, "1.1.1.1", "8.8.8.8", "9.9.9.9", PUBLIC])

    with pytest.raises(TryLater):
        _fetch_from_fal()

    assert names.dialled == [(address, 443) for address in (PUBLIC, ANOTHER, "1.1.1.1", "8.8.8.8")]


def test_the_second_address_answers_for_the_first(names: Names) -> None:
    with serving(says("200 OK", "Content-Length: 3", body=b"fox")) as server:
        names.lead("localhost", ["127.0.0.2", "127.0.0.1"])

        body, _ = fetch(server, host="localhost")

    assert body == b"fox"
    assert [address for address, _ in names.dialled] == ["127.0.0.2", "127.0.0.1"]


def test_a_name_without_an_address_may_have_one_later(names: Names) -> None:
    names.lead("v3.fal.media", [])

    with pytest.raises(TryLater, match="no address"):
        _fetch_from_fal()


def test_a_name_that_is_not_found_may_be_found_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)

    with pytest.raises(TryLater, match="Name or service not known"):
        _fetch_from_fal()


# --- Connections ---


def test_nobody_at_home_may_be_at_home_later() -> None:
    with serving(says("200 OK")) as server:
        pass

    with pytest.raises(TryLater, match="refused"):
        fetch(server)


def _tear_down(visit: Visit) -> None:
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "behave, said", [(_tear_down, "reset by peer"), (lambda visit: None, "closed connection")], ids=["torn", "closed"]
)
def test_a_connection_that_breaks_may_hold_later(behave: Behaviour, said: str) -> None:
    with serving(behave) as server, pytest.raises(TryLater, match=said):
        fetch(server)

    assert server.connections == 1


def test_an_error_does_not_repeat_the_address(names: Names) -> None:
    """It may hold a signature, and errors are logged."""
    with serving(says("200 OK")) as server:
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
def test_a_redirect_is_not_followed(status: str) -> None:
    """C14: not even to where we would go by ourselves."""
    with serving(says("200 OK")) as canary:
        redirect = says(f"{status} Elsewhere", f"Location: {canary.url}/x", "Content-Length: 0")
        with serving(redirect) as server, pytest.raises(AddressRefused, match="redirects are not followed"):
            fetch(server, also_from=canary.host)

    assert (server.connections, canary.connections) == (1, 0)


def test_the_environment_sends_us_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no passwords from a .netrc: it dials what it has checked."""
    (tmp_path / "netrc").write_text("default login thief password secret\n")
    with serving(says("200 OK")) as proxy, serving(says("200 OK", "Content-Length: 3", body=b"fox")) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

        body, _ = fetch(server)

    assert (body, proxy.connections) == (b"fox", 0)
    assert b"Authorization" not in server.requests[0]


def test_the_request_says_little_about_us() -> None:
    with serving(says("200 OK", "Content-Length: 0")) as server:
        fetch(server)

    head = server.requests[0].decode().split("\r\n")
    assert head[0] == "GET /file HTTP/1.1"
    assert {line.partition(":")[0] for line in head[1:] if line} == {
        *("Host", "User-Agent", "Accept-Encoding", "Accept", "Connection")
    }
    assert {f"Host: {server.host}", "Accept-Encoding: identity", "User-Agent: limn"} <= set(head)


# --- Certificates ---


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(authority.path))
    return authority


def test_a_file_comes_over_tls(trusted: Authority, names: Names) -> None:
    """The connection goes to the address, name and certificate are those of the host."""
    names.lead("v3.fal.media", ["127.0.0.1"])
    with serving(says("200 OK", body=b"fox"), tls=trusted.server("v3.fal.media")) as server:
        body, _ = fetch(server, scheme="https", host="v3.fal.media")

    assert body == b"fox"
    assert f"Host: v3.fal.media:{server.port}".encode() in server.requests[0]


@pytest.mark.parametrize("name, days", [("evil.example", 1), ("v3.fal.media", -1)], ids=["another name", "expired"])
def test_a_certificate_that_is_not_right_ends_the_talk(trusted: Authority, names: Names, name: str, days: int) -> None:
    """C19."""
    names.lead("v3.fal.media", ["127.0.0.1"])
    with serving(says("200 OK", body=b"fox"), tls=trusted.server(name, days=days)) as server:
        with pytest.raises(TryLater, match="certificate"):
            fetch(server, scheme="https", host="v3.fal.media")

    assert (server.connections, server.requests) == (1, [])


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_that_nobody_vouches_for_ends_the_talk(
    authority: Authority, names: Names, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """C19: nor does it help to be vouched for in the environment."""
    monkeypatch.setenv(variable, str(authority.path))
    names.lead("v3.fal.media", ["127.0.0.1"])
    with serving(says("200 OK"), tls=authority.server("v3.fal.media")) as server:
        with pytest.raises(TryLater, match="certificate"):
            fetch(server, scheme="https", host="v3.fal.media")

    assert server.requests == []
