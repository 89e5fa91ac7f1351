"""How often the API may be asked: exactly so often, in all processes; and never at the cost of a read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import ApiKey, UserLimits
from accounts.token_bucket import Rate
from credits.models import Account
from database import best_effort
from generations.http import throttling
from generations.http.throttling import LocalTokens
from tests.fixtures.limits import alice, api, bob, client_of, nothing_is_in_hand
from tests.helpers.threads import race

__all__ = ["alice", "api", "bob", "nothing_is_in_hand"]
pytestmark = pytest.mark.django_db
CREDITS = "/api/v1/credits/"


def statuses(client: APIClient, times: int) -> list[int]:
    return [client.get(CREDITS).status_code for _ in range(times)]


def test_whoever_asks_too_often_hears_when_to_come_again(settings, api: APIClient) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 3

    assert statuses(api, 3) == [200] * 3
    no = api.get(CREDITS)

    assert (no.status_code, no.json()["code"]) == (429, "rate_limited")
    assert 15 <= int(no["Retry-After"]) <= 20


def test_all_keys_of_one_customer_share_it_and_others_have_their_own(settings, alice: Account, bob: Account) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 2

    asked = [statuses(client_of(account), 1) for account in (alice, alice, alice, bob)]

    assert asked == [[200], [200], [429], [200]]


@pytest.mark.parametrize("own, answered", [(4, 4), (0, 6), (None, 2)])
def test_staff_may_allow_one_customer_more(settings, alice: Account, own: int | None, answered: int) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 2
    UserLimits.objects.create(account=alice, requests_per_minute=own)

    assert statuses(client_of(alice), 6).count(200) == answered


def test_who_is_nobody_is_not_counted(settings, client: APIClient) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 1

    assert statuses(client, 3) == [401] * 3


def test_reading_does_not_become_writing(monkeypatch: pytest.MonkeyPatch, api: APIClient) -> None:
    monkeypatch.setattr(throttling, "KEPT_SECONDS", 60)
    statuses(api, 1)

    with CaptureQueriesContext(connection) as queries:
        statuses(api, 1)

    assert [query["sql"] for query in queries if not query["sql"].startswith("SELECT")] == []


@pytest.fixture
def by_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once at two a minute, so that nothing comes back during a test; and nobody goes uncounted."""
    monkeypatch.setattr(throttling, "TAKES_PER_MINUTE", 1)
    monkeypatch.setattr(best_effort, "WAIT_SECONDS_MAX", 10)


@pytest.mark.django_db(transaction=True)
def test_two_processes_let_exactly_so_many_pass(by_twos: None) -> None:
    """G27: each takes two at once into its hands, and they count when they are taken."""
    rate, processes = Rate(per_minute=2, burst=9), [LocalTokens(), LocalTokens()]
    takes = [partial(process.acquire, "b", rate) for process in processes] * 8

    results = [*race(*takes), *(take() for take in takes)]

    assert [result == 0 for result in results].count(True) == 9


def test_what_is_kept_for_too_long_is_no_longer_good(monkeypatch: pytest.MonkeyPatch, by_twos: None) -> None:
    monkeypatch.setattr(throttling, "KEPT_SECONDS", -1)
    rate, process = Rate(per_minute=2, burst=4), LocalTokens()

    assert [process.acquire("b", rate) == 0 for _ in range(3)] == [True, True, False]


# --- With Redis ---


def test_with_redis_the_database_is_not_asked(settings, redis_url: str, api: APIClient) -> None:
    settings.REDIS_URL, settings.USER_REQUESTS_PER_MINUTE = redis_url, 2
    statuses(api, 1)

    with CaptureQueriesContext(connection) as queries:
        assert statuses(api, 2) == [200, 429]

    assert not [query for query in queries if "bucket" in query["sql"]]
    throttling.redis_client(redis_url).close()


def test_a_redis_that_is_away_turns_nobody_away(settings, api: APIClient) -> None:
    settings.REDIS_URL, settings.USER_REQUESTS_PER_MINUTE = "redis://127.0.0.1:9/0", 1

    assert statuses(api, 3) == [200] * 3


# --- A database that is busy ---


@pytest.fixture
def busy(api: APIClient) -> Iterator[None]:
    """SQLite has one writer, and he does not come to an end."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.once
def test_a_locked_sqlite_answers_who_only_reads(busy: None, api: APIClient) -> None:
    """Neither the request nor the key's last use can be noted, and nobody waits for that."""
    assert statuses(api, 2) == [200, 200]

    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_postgresql
def test_a_locked_key_answers_who_only_reads(api: APIClient) -> None:
    login = connection.settings_dict
    address = {"host": login["HOST"], "port": login["PORT"], "user": login["USER"], "dbname": login["NAME"]}
    with psycopg.connect(**address) as other:
        other.execute("SELECT 1 FROM accounts_apikey FOR UPDATE")
        assert statuses(api, 1) == [200]
    assert ApiKey.objects.get().last_used_at is None
