"""Few requests at once wait for pictures and pages of elsewhere, and nobody holds all the threads with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from credits.models import Account
from generations.models import Generation
from generations.ordering import input_files
from generations.safe_http import concurrency
from tests.fixtures.api import GENERATIONS, alice, api, bob, customer, key_of, nothing_is_left_over, streams_are_short
from tests.helpers.scripted_servers import Server, Visit, serving
from tests.helpers.threads import at_once

__all__ = ["alice", "api", "bob", "customer", "nothing_is_left_over", "streams_are_short"]
pytestmark = pytest.mark.django_db(transaction=True)


def begins_and_waits(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n")
    visit.pause(30)


@pytest.fixture
def slow(settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Where a picture begins to come, and never does. Nobody looks for long."""
    monkeypatch.setattr(input_files, "LOOK_SECONDS", 1.0)
    with serving(begins_and_waits) as server:
        settings.FAL_MEDIA_HOSTS = [*settings.FAL_MEDIA_HOSTS, server.host]
        yield server


def edits_at_once(api: APIClient, server: Server) -> list[tuple[int, str | None]]:
    """What six orders of one customer, on a picture of this server, are answered: status and Retry-After."""
    edit = {"model": "flux-2-edit", "input": {"prompt": "snow", "image_urls": [f"{server.url}/fox.png"]}}

    def order(_: int) -> tuple[int, str | None]:
        response = api.post(GENERATIONS, edit)
        return response.status_code, response.get("Retry-After")

    return at_once(6, order)


def test_slow_pictures_of_one_customer_hold_few_threads(api: APIClient, alice: User, slow: Server) -> None:
    answers = edits_at_once(api, slow)

    assert sorted(answers) == [(422, None)] * concurrency.MAX_CONCURRENT_PER_ACCOUNT + [(429, "1")] * (
        6 - concurrency.MAX_CONCURRENT_PER_ACCOUNT
    )
    assert slow.connections == concurrency.MAX_CONCURRENT_PER_ACCOUNT
    assert (Generation.objects.count(), Account.objects.for_user(alice).held) == (0, 0)


def test_without_seats_they_hold_as_many_threads_as_there_are(
    api: APIClient, slow: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(concurrency, "MAX_CONCURRENT", 100)
    monkeypatch.setattr(concurrency, "MAX_CONCURRENT_PER_ACCOUNT", 100)

    assert edits_at_once(api, slow) == [(422, None)] * 6


def test_a_seat_is_free_again_afterwards_and_another_customers_all_along(alice: User, bob: User) -> None:
    hers, his = Account.objects.for_user(alice), Account.objects.for_user(bob)
    for _ in range(2):
        with ExitStack() as taken:
            for _ in range(concurrency.MAX_CONCURRENT_PER_ACCOUNT):
                taken.enter_context(concurrency.slot(hers))
            with pytest.raises(concurrency.Busy):
                taken.enter_context(concurrency.slot(hers))
            taken.enter_context(concurrency.slot(his))
            with pytest.raises(concurrency.Busy):
                taken.enter_context(concurrency.slot(his))


def test_a_page_is_read_by_few_at_once_too(api: APIClient, alice: User, client: Client) -> None:
    wish = {"prompt": "tea", "blog_url": "https://example.com/tea"}
    client.force_login(alice)
    form = {**wish, "nonce": "0" * 32, "aspect_ratio": "16:9", "resolution": "2K", "count": "1"}
    with ExitStack() as taken:
        for _ in range(concurrency.MAX_CONCURRENT_PER_ACCOUNT):
            taken.enter_context(concurrency.slot(Account.objects.for_user(alice)))

        answer, page = api.post("/api/v1/infographics/", wish), client.post("/infographics/", form)

    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "rate_limited", "1")
    assert (page.status_code, "Try again in a second." in page.text) == (429, True)
    assert Generation.objects.count() == 0


def test_who_brings_no_address_waits_for_nobody(bob: User) -> None:
    with ExitStack() as taken:
        for _ in range(concurrency.MAX_CONCURRENT_PER_ACCOUNT):
            taken.enter_context(concurrency.slot(Account.objects.for_user(bob)))

        assert key_of(bob).post("/api/v1/infographics/", {"prompt": "tea"}).status_code == 202
