"""Token buckets: exact for many at once, in the database and in Redis. Case G27."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis
from django.utils import timezone

from accounts import redis_token_bucket, token_bucket
from accounts.models import Bucket
from accounts.token_bucket import Rate
from tests.helpers.threads import race
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db

SLOW = Rate(per_minute=1, burst=7)
QUICK = Rate(per_minute=6000, burst=1)
MANY = 20

Take = Callable[..., float]


@pytest.fixture(params=["database", "redis"])
def take(request: pytest.FixtureRequest) -> Iterator[Take]:
    if request.param == "database":
        yield token_bucket.acquire
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as server:
        server.flushall()
        yield partial(redis_token_bucket.acquire, server)


def test_a_burst_goes_through_and_the_next_hears_how_long_to_wait(take: Take) -> None:
    started = time.monotonic()

    taken = [take("b", SLOW) for _ in range(8)]

    assert taken[:7] == [0] * 7
    # What has passed meanwhile has been refilled; a second is allowed for the rounding of clocks.
    assert 59 - (time.monotonic() - started) < taken[7] <= 60


def test_what_was_taken_comes_back_with_time(take: Take) -> None:
    assert take("b", QUICK) == 0

    until(lambda: take("b", QUICK) == 0)


def test_a_long_rest_earns_no_more_than_a_burst() -> None:
    Bucket.objects.create(name="b", full_at=timezone.now() - timedelta(hours=2))

    assert [token_bucket.acquire("b", SLOW) == 0 for _ in range(8)] == [True] * 7 + [False]


def test_several_are_taken_together_or_not_at_all(take: Take) -> None:
    taken = [take("b", SLOW, count=count) == 0 for count in (5, 3, 2, 1)]

    assert taken == [True, False, True, False]


def test_buckets_do_not_know_each_other(take: Take) -> None:
    assert take("a", SLOW, count=7) == take("b", SLOW, count=7) == 0


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_as_many_pass_as_there_is_room_for(take: Take) -> None:
    results = race(*(partial(take, "b", SLOW) for _ in range(MANY)))

    assert [result == 0 for result in results].count(True) == 7


@pytest.mark.django_db(transaction=True)
def test_whoever_reads_first_and_writes_then_lets_too_many_pass() -> None:
    """Negative control: this race is there to be lost."""
    one, meeting = Rate(per_minute=1, burst=1), threading.Barrier(2)
    Bucket.objects.create(name="b", full_at=timezone.now())

    def naive() -> bool:
        room = token_bucket.available("b", one)
        meeting.wait(HANG_SECONDS)
        Bucket.objects.update(full_at=timezone.now() + timedelta(seconds=60))
        return room > 0

    assert race(naive, naive) == [True, True]


def test_how_many_are_left_is_known_without_taking() -> None:
    left: list[Any] = [token_bucket.available("b", SLOW)]
    for count in (3, 4):
        token_bucket.acquire("b", SLOW, count=count)
        left.append(token_bucket.available("b", SLOW))

    assert left == [7, 4, 0]


def test_what_was_taken_for_nothing_is_given_back() -> None:
    token_bucket.acquire("b", SLOW, count=7)

    token_bucket.give_back("b", SLOW)

    assert [token_bucket.acquire("b", SLOW) == 0 for _ in range(2)] == [True, False]


def test_a_bucket_that_has_long_been_full_is_forgotten() -> None:
    Bucket.objects.create(name="old", full_at=timezone.now() - timedelta(days=2))
    Bucket.objects.create(name="young", full_at=timezone.now() - timedelta(hours=2))

    token_bucket.acquire("new", SLOW)

    assert set(Bucket.objects.values_list("name", flat=True)) == {"young", "new"}
