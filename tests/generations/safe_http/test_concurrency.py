"""Few web requests at a time fetch files and pages, so that they never occupy all threads of the web server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from credits.models import Account
from generations.models import Generation
from generations.ordering import input_files
from generations.safe_http import concurrency, connections
from tests.fixtures.api import GENERATIONS, alice, api, bob, customer, key_of, reset_process_state, short_streams
from tests.helpers.scripted_servers import Connection, Server, serving
from tests.helpers.threads import at_once
from tests.services.waiting import HANG_SECONDS, until

__all__ = ["alice", "api", "bob", "customer", "reset_process_state", "short_streams"]
pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = 6


class SlowServer:
    """Begins to send an image, and breaks off when `enough` is true."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str | None]] = []
        self.enough: Callable[[], bool] = lambda: False
        self.server: Server

    def behave(self, connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n")
        until(self.enough)

    def edit_concurrently(self, api: APIClient) -> list[tuple[int, str | None]]:
        """Order six edits of this server's image at once. Returns the status and Retry-After of each response."""
        edit = {"model": "flux-2-edit", "input": {"prompt": "snow", "image_urls": [f"{self.server.url}/fox.png"]}}

        def order(_: int) -> None:
            response = api.post(GENERATIONS, edit)
            self.answers.append((response.status_code, response.get("Retry-After")))

        at_once(ORDERS, order)
        return sorted(self.answers)


@pytest.fixture
def slow(settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowServer]:
    # No time-out of Limn's own may free a slot before the server lets it go.
    monkeypatch.setattr(input_files, "CHECK_SECONDS", HANG_SECONDS)
    monkeypatch.setattr(input_files, "CHECK_SECONDS_MAX", HANG_SECONDS)
    monkeypatch.setattr(connections, "READ_SECONDS_MAX", HANG_SECONDS)
    slow = SlowServer()
    with serving(slow.behave) as slow.server:
        settings.FAL_MEDIA_HOSTS = [*settings.FAL_MEDIA_HOSTS, slow.server.host]
        yield slow


def test_slow_images_of_one_customer_occupy_few_threads(api: APIClient, alice: User, slow: SlowServer) -> None:
    refused = ORDERS - concurrency.MAX_CONCURRENT_PER_ACCOUNT
    slow.enough = lambda: len(slow.answers) >= refused

    answers = slow.edit_concurrently(api)

    assert answers == [(422, None)] * concurrency.MAX_CONCURRENT_PER_ACCOUNT + [(429, "1")] * refused
    assert slow.server.connections == concurrency.MAX_CONCURRENT_PER_ACCOUNT
    assert (Generation.objects.count(), Account.objects.for_user(alice).held) == (0, 0)


def test_without_slots_they_occupy_all_threads(
    api: APIClient, slow: SlowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(concurrency, "MAX_CONCURRENT", 100)
    monkeypatch.setattr(concurrency, "MAX_CONCURRENT_PER_ACCOUNT", 100)
    slow.enough = lambda: slow.server.connections == ORDERS

    assert slow.edit_concurrently(api) == [(422, None)] * ORDERS


def test_the_last_slot_is_for_another_account_and_slots_are_free_again(alice: User, bob: User) -> None:
    of_alice, of_bob = Account.objects.for_user(alice), Account.objects.for_user(bob)
    for _ in range(2):
        with ExitStack() as taken:
            for _ in range(concurrency.MAX_CONCURRENT_PER_ACCOUNT):
                taken.enter_context(concurrency.slot(of_alice.pk))
            with pytest.raises(concurrency.Busy):
                taken.enter_context(concurrency.slot(of_alice.pk))
            taken.enter_context(concurrency.slot(of_bob.pk))
            with pytest.raises(concurrency.Busy):
                taken.enter_context(concurrency.slot(of_bob.pk))


@pytest.fixture
def all_slots_of_alice_are_taken(alice: User) -> Iterator[None]:
    with ExitStack() as taken:
        for _ in range(concurrency.MAX_CONCURRENT_PER_ACCOUNT):
            taken.enter_context(concurrency.slot(Account.objects.for_user(alice).pk))
        yield


@pytest.mark.usefixtures("all_slots_of_alice_are_taken")
def test_reading_a_page_takes_a_slot_too(api: APIClient, alice: User, client: Client) -> None:
    request = {"prompt": "tea", "blog_url": "https://example.com/tea"}
    form = {**request, "nonce": "0" * 32, "aspect_ratio": "16:9", "resolution": "2K", "count": "1"}
    client.force_login(alice)

    answer, page = api.post("/api/v1/infographics/", request), client.post("/infographics/", form)

    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "rate_limited", "1")
    assert (page.status_code, "Try again in a second." in page.text) == (429, True)
    assert Generation.objects.count() == 0


@pytest.mark.usefixtures("all_slots_of_alice_are_taken")
def test_an_order_that_fetches_nothing_needs_no_slot(alice: User) -> None:
    assert key_of(alice).post("/api/v1/infographics/", {"prompt": "tea"}).status_code == 202
