"""Token buckets let exactly as many callers pass as their rate says. Case G27 of
docs/failure-modes.md."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from accounts import token_bucket
from accounts.models import Bucket
from accounts.token_bucket import Rate
from tests.helpers.clocks import just_passed
from tests.helpers.threads import race
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db

SLOW = Rate(per_minute=1, burst=7)
QUICK = Rate(per_minute=6000, burst=1)
RACERS = 20


def test_a_burst_passes_and_the_next_caller_is_told_how_long_to_wait() -> None:
    started = time.monotonic()

    waits = [token_bucket.acquire("b", SLOW) for _ in range(8)]

    assert waits[:7] == [0] * 7
    # Tokens come back while the test runs. The two clocks may be rounded to differ by up to a second.
    assert 59 - (time.monotonic() - started) < waits[7] <= 60


def test_tokens_come_back_with_time() -> None:
    assert token_bucket.acquire("b", QUICK) == 0

    until(lambda: token_bucket.acquire("b", QUICK) == 0)


def test_a_long_pause_earns_no_more_than_a_burst() -> None:
    Bucket.objects.create(name="b", full_at=timezone.now() - timedelta(hours=2))

    assert [token_bucket.acquire("b", SLOW) == 0 for _ in range(8)] == [True] * 7 + [False]


def test_several_tokens_are_taken_together_or_not_at_all() -> None:
    passed = [token_bucket.acquire("b", SLOW, count=count) == 0 for count in (5, 3, 2, 1)]

    assert passed == [True, False, True, False]


def test_buckets_are_independent() -> None:
    assert token_bucket.acquire("a", SLOW, count=7) == token_bucket.acquire("b", SLOW, count=7) == 0


@pytest.mark.django_db(transaction=True)
def test_of_concurrent_callers_as_many_pass_as_there_are_tokens() -> None:
    waits = race(*(partial(token_bucket.acquire, "b", SLOW) for _ in range(RACERS)))

    assert [wait == 0 for wait in waits].count(True) == 7


@pytest.mark.django_db(transaction=True)
def test_reading_before_writing_lets_too_many_pass() -> None:
    """Negative control: both callers read before either writes."""
    one, barrier = Rate(per_minute=1, burst=1), threading.Barrier(2)
    Bucket.objects.create(name="b", full_at=just_passed())

    def acquire_unsafely() -> bool:
        tokens = token_bucket.available("b", one)
        barrier.wait(HANG_SECONDS)
        Bucket.objects.update(full_at=timezone.now() + timedelta(seconds=60))
        return tokens > 0

    assert race(acquire_unsafely, acquire_unsafely) == [True, True]


def test_the_number_of_tokens_is_known_without_taking_one() -> None:
    available = [token_bucket.available("b", SLOW)]
    for count in (3, 4):
        token_bucket.acquire("b", SLOW, count=count)
        available.append(token_bucket.available("b", SLOW))

    assert available == [7, 4, 0]


def test_an_unused_token_is_given_back() -> None:
    token_bucket.acquire("b", SLOW, count=7)

    token_bucket.give_back("b", SLOW)

    assert [token_bucket.acquire("b", SLOW) == 0 for _ in range(2)] == [True, False]


def test_a_new_bucket_deletes_those_that_have_been_full_for_a_day() -> None:
    Bucket.objects.create(name="old", full_at=timezone.now() - timedelta(days=2))
    Bucket.objects.create(name="young", full_at=timezone.now() - timedelta(hours=2))

    token_bucket.acquire("new", SLOW)

    assert set(Bucket.objects.values_list("name", flat=True)) == {"young", "new"}
