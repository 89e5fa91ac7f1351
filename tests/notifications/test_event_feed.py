"""The event feed: oldest event first, stable, and without a gap, in whatever order the events are committed."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from rest_framework.test import APIClient

from credits.models import Account
from generations.lifecycle.transitions import Fact, record_event
from generations.models import Event, Generation
from notifications import event_feed
from tests.fixtures.api import PlaceOrder, key_of
from tests.helpers.threads import race
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

pytestmark = pytest.mark.django_db
EVENTS = "/api/v1/events/"


def numbers(page: event_feed.FeedPage) -> list[int | None]:
    return [event.number for event in page.events]


def actors(events: list[Event]) -> list[str]:
    return [event.actor for event in events]


def test_events_are_listed_oldest_first_in_pages(api: APIClient, completed: PlaceOrder, failed: PlaceOrder) -> None:
    first, second = completed(), failed()
    page = api.get(EVENTS, {"limit": 5}).json()
    rest = api.get(page["next"]).json()

    results = page["results"] + rest["results"]

    assert [event["number"] for event in results] == list(range(1, len(results) + 1))
    assert {event["generation"] for event in page["results"]} == {str(first.pk)}
    assert {event["generation"] for event in rest["results"]} == {str(second.pk)}
    assert [results[4]["fact"], results[-1]["fact"]] == ["completed", "failed"]
    assert (page["more"], rest["more"], rest["after"]) == (True, False, len(results))


def test_the_cursor_continues_with_new_events_only(api: APIClient, order: PlaceOrder) -> None:
    order()
    first = api.get(EVENTS).json()

    nothing_new = api.get(first["next"]).json()
    order()
    second = api.get(nothing_new["next"]).json()

    assert (nothing_new["results"], nothing_new["after"]) == ([], first["after"])
    assert [event["number"] for event in second["results"]] == [2]
    assert api.get(EVENTS).json()["results"][0] == first["results"][0]


def test_events_of_another_user_are_not_listed(order: PlaceOrder, bob: User) -> None:
    order()

    assert key_of(bob).get(EVENTS).json()["results"] == []


def test_names_and_notes_of_staff_are_not_shown(api: APIClient, order: PlaceOrder) -> None:
    record_event(order(), Fact(name="surplus", actor="staff:sam", staff_note="hush"))

    event = api.get(EVENTS).json()["results"][-1]

    assert event["actor"] == "staff"
    assert "hush" not in str(event)


@pytest.mark.once
def test_an_invalid_cursor_or_limit_is_refused(api: APIClient) -> None:
    for after in ("-1", "x", "9" * 19, "9" * 40, "²", ""):
        assert api.get(EVENTS, {"after": after}).status_code == 400, after
    for limit in ("0", "501", "1e3"):
        assert api.get(EVENTS, {"limit": limit}).status_code == 400, limit


def test_a_cursor_beyond_the_end_gives_an_empty_page(api: APIClient, order: PlaceOrder) -> None:
    order()

    assert api.get(EVENTS, {"after": 2**63 - 1}).json()["results"] == []


# --- Concurrency ----------------------------------------------------------------------------------------------------


def record_and_commit_later(generation: Generation, may_commit: threading.Event) -> threading.Thread:
    """Records an event in a transaction that commits when `may_commit` is set."""
    recorded = threading.Event()

    def run() -> None:
        with transaction.atomic():
            record_event(generation, Fact(name="surplus", actor="late"))
            recorded.set()
            may_commit.wait(HANG_SECONDS)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert recorded.wait(HANG_SECONDS)
    return thread


class Reader(threading.Thread):
    """Reads the feed from its beginning, in a transaction that commits when `may_commit` is set."""

    def __init__(self, account: Account, *, may_commit: threading.Event) -> None:
        super().__init__()
        self._account, self._may_commit = account, may_commit
        self.has_read = threading.Event()
        self.start()

    def run(self) -> None:
        with transaction.atomic():
            self._page = event_feed.read(self._account, after=0, limit=10)
            self.has_read.set()
            self._may_commit.wait(HANG_SECONDS)
        connection.close()

    def events(self) -> list[Event]:
        self.join(HANG_SECONDS)
        return self._page.events


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestLateCommits:
    """On SQLite, events are committed in the order of their ids."""

    def test_an_event_that_is_committed_later_is_not_missed(self, order: PlaceOrder, account: Account) -> None:
        generation, may_commit = order(), threading.Event()
        late = record_and_commit_later(generation, may_commit)
        record_event(generation, Fact(name="stuck", actor="early"))
        before = event_feed.read(account, after=0, limit=10)

        may_commit.set()
        late.join()
        after = event_feed.read(account, after=before.after, limit=10)

        assert actors(before.events) == ["user:alice", "early"]
        assert actors(after.events) == ["late"]
        assert after.events[0].pk < before.events[-1].pk

    def test_a_number_never_changes_after_it_was_read(self, order: PlaceOrder, account: Account) -> None:
        event_feed.read(account, after=0, limit=1)
        generation, may_commit, readers_may_commit = order(), threading.Event(), threading.Event()
        late = record_and_commit_later(generation, may_commit)
        record_event(generation, Fact(name="stuck", actor="early"))
        first = Reader(account, may_commit=readers_may_commit)
        assert first.has_read.wait(HANG_SECONDS)
        may_commit.set()
        late.join()

        second = Reader(account, may_commit=readers_may_commit)
        until(a_lock_is_awaited, what="the second reader to wait for the first")
        readers_may_commit.set()

        assert actors(first.events()) == ["user:alice", "early"]
        assert actors(second.events()) == ["user:alice", "early", "late"]

    def test_with_ids_as_cursor_the_event_would_be_missed(self, order: PlaceOrder) -> None:
        """The negative control: the event that is committed later has the lower id."""
        generation, may_commit = order(), threading.Event()
        late = record_and_commit_later(generation, may_commit)
        record_event(generation, Fact(name="stuck", actor="early"))
        cursor = Event.objects.latest("id").pk

        may_commit.set()
        late.join()

        assert not Event.objects.filter(pk__gt=cursor).exists()
        assert Event.objects.filter(actor="late").exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_readers_number_each_event_once(order: PlaceOrder, account: Account) -> None:
    for _ in range(5):
        order()

    pages = race(*[lambda: event_feed.read(account, after=0, limit=3)] * 4)

    assert [numbers(page) for page in pages] == [[1, 2, 3]] * 4
    assert numbers(event_feed.read(account, after=3, limit=9)) == [4, 5]


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_two_readers_would_assign_one_number_twice(order: PlaceOrder, account: Account) -> None:
    """The negative control: both have read before either writes. Here a constraint refuses the second."""
    new, both_have_read = [order().events.get(), order().events.get()], threading.Barrier(2)

    def assign_number() -> None:
        event, last = new.pop(), Event.objects.exclude(number=None).count()
        both_have_read.wait(HANG_SECONDS)
        Event.objects.filter(pk=event.pk).update(number=last + 1)

    results = race(assign_number, assign_number)

    assert sum(result is None for result in results) == 1
    assert any("generations_event_number_once" in str(result) for result in results)
