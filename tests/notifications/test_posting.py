"""The POST itself: dialled only where it may go, over in time, and no more is read than is kept."""

from __future__ import annotations

import socket

import pytest

from generations.safe_http import client as http_client
from generations.safe_http.client import AddressRefused, PostResponse, TryLater
from tests.fixtures.safe_http import authority, names
from tests.helpers.certificates import Authority
from tests.helpers.scripted_servers import Behaviour, Names, Visit, says, serving
from tests.services.waiting import HANG_SECONDS

__all__ = ["authority", "names"]
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


def test_it_posts_the_body_and_the_headers_and_keeps_the_beginning_of_the_answer() -> None:
    with serving(says("418 Teapot", "Retry-After: 5", "Content-Length: 5", body=b"short")) as server:
        answer = post(f"{server.url}/told?a=b")

    assert answer == PostResponse(status=418, beginning=b"short", retry_after="5")
    assert server.requests[0].startswith(b"POST /told?a=b HTTP/1.1\r\n")
    assert b"webhook-id: msg_1" in server.requests[0]


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/", "ftp://example.com/", "https://user:pass@example.com/", "example.com", ""),
        *("https://10.0.0.1/", "https://169.254.169.254/latest/meta-data/", "https://[fd00::1]/", "https://0.0.0.0/"),
        *("https://[::ffff:127.0.0.1]/", "http://127.0.0.1:6379/", "https://localhost/", "https://[::1]/"),
    ],
)
def test_h1_an_address_that_may_not_be_told_is_refused_by_its_look(url: str) -> None:
    with pytest.raises(AddressRefused):
        post(url, loopback_allowed=False)


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "169.254.169.254", "::1", "fd00::1"])
def test_h1_a_name_that_leads_to_a_private_address_is_not_dialled(names: Names, address: str) -> None:
    names.lead("hooks.example", [address])

    with pytest.raises(AddressRefused):
        post("https://hooks.example/")

    assert names.dialled == []


def test_h2_what_was_public_when_it_was_saved_is_looked_up_again_at_each_sending(names: Names) -> None:
    names.lead("hooks.example", ["93.184.216.34"], ["10.0.0.1"])

    with pytest.raises(TryLater):
        post("https://hooks.example/")
    with pytest.raises(AddressRefused):
        post("https://hooks.example/")

    assert names.dialled == [("93.184.216.34", 443)]


def test_h3_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with serving(says("200 OK")) as canary, serving(says("302 Found", f"Location: {canary.url}/")) as server:
        assert post(server.url).status == 302

    assert canary.connections == 0


def _drip(visit: Visit) -> None:
    while visit.pause(0.05):
        visit.send(b"X")


def test_h4_headers_that_never_end_are_over_in_time() -> None:
    with serving(_drip) as server, pytest.raises(TryLater, match="too long"):
        post(server.url, seconds_max=0.5)


def _without_end(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while visit.pause(0):
        visit.send(b"x" * 65536)


def _without_end_and_elsewhere(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
    while visit.pause(0):
        visit.send(b"x" * 65536)


@pytest.mark.parametrize("behave, status", [(_without_end, 200), (_without_end_and_elsewhere, 302)])
def test_h5_of_an_answer_without_end_the_beginning_is_read(behave: Behaviour, status: int) -> None:
    with serving(behave) as server:
        answer = post(server.url)

    assert (answer.status, answer.beginning) == (status, b"x" * 1000)


def _silent_after_the_status(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    visit.pause(HANG_SECONDS)


def test_a_status_counts_even_if_its_body_never_comes() -> None:
    with serving(_silent_after_the_status) as server:
        # So long that the status comes in time on any machine; the body is waited for in vain.
        assert post(server.url, seconds_max=3).status == 200


def test_a_certificate_of_somebody_else_is_no_answer(names: Names, authority: Authority) -> None:
    names.lead("localhost", ["127.0.0.1"])
    with serving(says("200 OK"), authority.server("localhost")) as server, pytest.raises(TryLater, match="SSL"):
        post(f"https://localhost:{server.port}/")


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(says("200 OK")) as proxy, serving(says("204 No Content")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)

        assert post(server.url).status == 204
    assert proxy.connections == 0


def test_nobody_there_is_try_later(unused: int) -> None:
    with pytest.raises(TryLater, match="refused"):
        post(f"http://127.0.0.1:{unused}/")


@pytest.fixture
def unused() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
