"""The feed: oldest first, stable, and without a gap, whoever commits when."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from rest_framework.test import APIClient

from credits.models import Account
from generations.lifecycle.transitions import record_event
from generations.models import Event, Generation
from notifications import event_feed
from tests.fixtures.api import Ordering, key_of
from tests.helpers.threads import race
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

pytestmark = pytest.mark.django_db
EVENTS = "/api/v1/events/"


def numbers(stretch: event_feed.FeedPage) -> list[int | None]:
    return [event.number for event in stretch.events]


def test_everything_comes_oldest_first_page_by_page(api: APIClient, completed: Ordering, failed: Ordering) -> None:
    first, second = completed(), failed()
    page = api.get(EVENTS, {"limit": 5}).json()
    rest = api.get(page["next"]).json()

    results = page["results"] + rest["results"]

    assert [event["number"] for event in results] == list(range(1, len(results) + 1))
    assert {event["generation"] for event in page["results"]} == {str(first.pk)}
    assert {event["generation"] for event in rest["results"]} == {str(second.pk)}
    assert [results[4]["fact"], results[-1]["fact"]] == ["completed", "failed"]
    assert (page["more"], rest["more"], rest["after"]) == (True, False, len(results))


def test_who_asks_again_is_told_what_is_new_and_nothing_twice(api: APIClient, order: Ordering) -> None:
    order()
    seen = api.get(EVENTS).json()

    nothing = api.get(seen["next"]).json()
    order()
    news = api.get(nothing["next"]).json()

    assert (nothing["results"], nothing["after"]) == ([], seen["after"])
    assert [event["number"] for event in news["results"]] == [2]
    assert api.get(EVENTS).json()["results"][0] == seen["results"][0]


def test_nobody_sees_somebody_elses(order: Ordering, bob: User) -> None:
    order()

    assert key_of(bob).get(EVENTS).json()["results"] == []


def test_staffs_notes_and_names_stay_inside(api: APIClient, order: Ordering) -> None:
    record_event(order(), "surplus", actor="staff:sam", staff_note="hush")

    event = api.get(EVENTS).json()["results"][-1]

    assert event["actor"] == "staff"
    assert "hush" not in str(event)


@pytest.mark.once
@pytest.mark.parametrize(
    "query",
    [
        *({"after": "-1"}, {"after": "x"}, {"after": "9" * 19}, {"after": "9" * 40}, {"after": "²"}, {"after": ""}),
        *({"limit": "0"}, {"limit": "501"}, {"limit": "1e3"}),
    ],
    ids=str,
)
def test_a_number_without_sense_is_refused(api: APIClient, query: dict[str, str]) -> None:
    assert api.get(EVENTS, query).status_code == 400


def test_a_cursor_beyond_the_end_is_no_error(api: APIClient, order: Ordering) -> None:
    order()

    assert api.get(EVENTS, {"after": 2**63 - 1}).json()["results"] == []


# --- Races --------------------------------------------------------------------------------------------------------


def _late_commit(generation: Generation, noted: threading.Event, may_commit: threading.Event) -> threading.Thread:
    """Somebody who has noted an event, and commits when he may."""

    def run() -> None:
        with transaction.atomic():
            record_event(generation, "surplus", actor="late")
            noted.set()
            may_commit.wait(HANG_SECONDS)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert noted.wait(HANG_SECONDS)
    return thread


class _Reader(threading.Thread):
    """Somebody who reads the feed, and commits what he has numbered when he may."""

    def __init__(self, account: Account, done: threading.Event, *, may_commit: threading.Event) -> None:
        super().__init__()
        self._account, self._done, self._may_commit = account, done, may_commit
        self.start()

    def run(self) -> None:
        with transaction.atomic():
            self._found = event_feed.read(self._account, after=0, limit=10)
            self._done.set()
            self._may_commit.wait(HANG_SECONDS)
        connection.close()

    def events(self) -> list[Event]:
        self.join(HANG_SECONDS)
        return self._found.events


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
class TestWhoCommitsLate:
    """SQLite's writers commit in the order of their ids: there is no such race."""

    def test_nobody_steps_over_an_event_that_commits_later(self, order: Ordering, account: Account) -> None:
        generation, may_commit = order(), threading.Event()
        late = _late_commit(generation, threading.Event(), may_commit)
        record_event(generation, "stuck", actor="early")
        before = event_feed.read(account, after=0, limit=10)

        may_commit.set()
        late.join()
        after = event_feed.read(account, after=before.after, limit=10)

        assert [event.actor for event in before.events] == ["user:alice", "early"]
        assert [event.actor for event in after.events] == ["late"]
        assert after.events[0].pk < before.events[-1].pk

    def test_a_number_that_somebody_has_read_never_changes(self, order: Ordering, account: Account) -> None:
        event_feed.read(account, after=0, limit=1)
        generation, may_commit, numbered, read = order(), threading.Event(), threading.Event(), threading.Event()
        late = _late_commit(generation, threading.Event(), may_commit)
        record_event(generation, "stuck", actor="early")
        first = _Reader(account, numbered, may_commit=read)
        assert numbered.wait(HANG_SECONDS)
        may_commit.set()
        late.join()

        second = _Reader(account, threading.Event(), may_commit=read)
        until(a_lock_is_awaited, what="the second reader to wait for the first")
        read.set()

        assert [event.actor for event in first.events()] == ["user:alice", "early"]
        assert [event.actor for event in second.events()] == ["user:alice", "early", "late"]

    def test_by_their_ids_alone_it_would_be_stepped_over(self, order: Ordering) -> None:
        """The negative control: the late one has the lower id."""
        generation, may_commit = order(), threading.Event()
        late = _late_commit(generation, threading.Event(), may_commit)
        record_event(generation, "stuck", actor="early")
        seen = Event.objects.latest("id").pk

        may_commit.set()
        late.join()

        assert not Event.objects.filter(pk__gt=seen).exists()
        assert Event.objects.filter(actor="late").exists()


@pytest.mark.django_db(transaction=True)
def test_many_readers_number_each_event_once(order: Ordering, account: Account) -> None:
    for _ in range(5):
        order()

    results = race(*[lambda: event_feed.read(account, after=0, limit=3)] * 4)

    assert [numbers(stretch) for stretch in results] == [[1, 2, 3]] * 4
    assert numbers(event_feed.read(account, after=3, limit=9)) == [4, 5]


@pytest.mark.only_postgresql
@pytest.mark.django_db(transaction=True)
def test_without_their_turn_two_readers_would_give_one_number_twice(order: Ordering, account: Account) -> None:
    """The negative control: the constraint refuses the second."""
    fresh, meeting = [order().events.get(), order().events.get()], threading.Barrier(2)

    def number_one() -> None:
        event, last = fresh.pop(), Event.objects.exclude(number=None).count()
        meeting.wait(HANG_SECONDS)
        Event.objects.filter(pk=event.pk).update(number=last + 1)

    results = race(number_one, number_one)

    assert sum(result is None for result in results) == 1
    assert any("generations_event_number_once" in str(result) for result in results)
