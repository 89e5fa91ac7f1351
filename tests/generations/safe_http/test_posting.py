"""`client.post`: it connects to permitted addresses only, ends in time, and reads no more than the caller wants."""

from __future__ import annotations

import socket

import pytest

from generations.safe_http import client as http_client
from generations.safe_http.client import AddressRefused, HostRefused, PostResponse, TryLater
from tests.helpers.certificates import Authority
from tests.helpers.scripted_servers import Connection, ScriptedResolver, respond, serving
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.once, pytest.mark.slow]


def post(url: str, *, loopback_allowed: bool = True, seconds_max: float = 10) -> PostResponse:
    return http_client.post(
        url,
        b'{"a": 1}',
        headers={"webhook-id": "msg_1"},
        loopback_allowed=loopback_allowed,
        bytes_max=1000,
        seconds_max=seconds_max,
    )


def test_it_sends_body_and_headers_and_returns_the_beginning_of_the_response() -> None:
    with serving(respond("418 Teapot", "Retry-After: 5", "Content-Length: 5", body=b"short")) as server:
        response = post(f"{server.url}/webhooks?a=b")

    assert response == PostResponse(status=418, beginning=b"short", retry_after="5")
    assert server.requests[0].startswith(b"POST /webhooks?a=b HTTP/1.1\r\n")
    assert b"webhook-id: msg_1" in server.requests[0]


# --- Where it connects to -------------------------------------------------------------------------------------------


def test_h1_a_url_that_is_not_permitted_is_refused() -> None:
    urls = [
        *("http://example.com/", "ftp://example.com/", "https://user:pass@example.com/", "example.com", ""),
        *("https://10.0.0.1/", "https://169.254.169.254/latest/meta-data/", "https://[fd00::1]/", "https://0.0.0.0/"),
        *("https://[::ffff:127.0.0.1]/", "http://127.0.0.1:6379/", "https://localhost/", "https://[::1]/"),
    ]

    for url in urls:
        with pytest.raises(AddressRefused):
            post(url, loopback_allowed=False)


def test_h1_a_name_with_a_private_address_is_not_connected_to(resolver: ScriptedResolver) -> None:
    for address in ("10.1.2.3", "127.0.0.1", "169.254.169.254", "::1", "fd00::1"):
        resolver.resolve_to("hooks.example", [address])

        with pytest.raises(HostRefused):
            post("https://hooks.example/")

    assert resolver.connected == []


def test_h2_the_name_is_resolved_again_for_each_request(resolver: ScriptedResolver) -> None:
    resolver.resolve_to("hooks.example", ["93.184.216.34"], ["10.0.0.1"])

    with pytest.raises(TryLater):
        post("https://hooks.example/")
    with pytest.raises(HostRefused):
        post("https://hooks.example/")

    assert resolver.connected == [("93.184.216.34", 443)]


def test_h3_a_redirect_is_returned_and_not_followed() -> None:
    with serving(respond("200 OK")) as target, serving(respond("302 Found", f"Location: {target.url}/")) as server:
        assert post(server.url).status == 302

    assert target.connections == 0


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(respond("200 OK")) as proxy, serving(respond("204 No Content")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)

        assert post(server.url).status == 204
    assert proxy.connections == 0


# --- Servers that misbehave -----------------------------------------------------------------------------------------


def drip_headers(connection: Connection) -> None:
    while connection.pause(0.05):
        connection.send(b"X")


def test_h4_headers_that_never_end_are_cut_off_in_time() -> None:
    with serving(drip_headers) as server, pytest.raises(TryLater, match="too long"):
        post(server.url, seconds_max=0.5)


@pytest.mark.parametrize(
    "status, head", [(200, b"200 OK\r\n\r\n"), (302, b"302 Found\r\nLocation: /elsewhere\r\n\r\n")]
)
def test_h5_of_an_endless_response_only_the_beginning_is_read(status: int, head: bytes) -> None:
    def send_without_end(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 " + head)
        while connection.pause(0):
            connection.send(b"x" * 65536)

    with serving(send_without_end) as server:
        response = post(server.url)

    assert (response.status, response.beginning) == (status, b"x" * 1000)


def send_status_only(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    connection.pause(HANG_SECONDS)


def test_a_status_without_its_body_counts() -> None:
    with serving(send_status_only) as server:
        # The status arrives within this time on any machine; the body never arrives.
        assert post(server.url, seconds_max=3).status == 200


def test_the_certificate_of_another_server_is_refused(resolver: ScriptedResolver, authority: Authority) -> None:
    resolver.resolve_to("localhost", ["127.0.0.1"])
    with serving(respond("200 OK"), authority.server("localhost")) as server, pytest.raises(TryLater, match="SSL"):
        post(f"https://localhost:{server.port}/")


def test_a_refused_connection_is_to_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(TryLater, match="refused"):
        post(f"http://127.0.0.1:{port}/")
