"""The rate limit of the API: exact over all processes, and never the reason why a read fails."""

from __future__ import annotations

import sqlite3
import time
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
from tests.fixtures.limits import alice, api, bob, client_of, reset_limits
from tests.helpers.threads import race

__all__ = ["alice", "api", "bob", "reset_limits"]
pytestmark = pytest.mark.django_db
CREDITS = "/api/v1/credits/"


def statuses(client: APIClient, count: int) -> list[int]:
    return [client.get(CREDITS).status_code for _ in range(count)]


def test_a_request_above_the_limit_is_refused_with_retry_after(settings, api: APIClient) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 1
    started = time.monotonic()

    assert statuses(api, 1) == [200]
    refused = api.get(CREDITS)

    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    # The token comes back a minute after it was taken.
    assert 59 - (time.monotonic() - started) <= int(refused["Retry-After"]) <= 60


def test_the_limit_is_shared_by_the_keys_of_a_customer_and_not_between_customers(
    settings, alice: Account, bob: Account
) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 2

    found = [statuses(client_of(account), 1) for account in (alice, alice, alice, bob)]

    assert found == [[200], [200], [429], [200]]


@pytest.mark.parametrize("own_limit, allowed", [(4, 4), (0, 6), (None, 2)])
def test_staff_can_set_the_limit_of_a_customer(settings, alice: Account, own_limit: int | None, allowed: int) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 2
    UserLimits.objects.create(account=alice, requests_per_minute=own_limit)

    assert statuses(client_of(alice), 6).count(200) == allowed


def test_anonymous_requests_are_not_counted(settings, client: APIClient) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 1

    assert statuses(client, 3) == [401] * 3


def test_a_read_with_a_local_token_writes_nothing(monkeypatch: pytest.MonkeyPatch, api: APIClient) -> None:
    monkeypatch.setattr(throttling, "KEPT_SECONDS", 60)
    statuses(api, 1)

    with CaptureQueriesContext(connection) as queries:
        statuses(api, 1)

    assert [query["sql"] for query in queries if not query["sql"].startswith("SELECT")] == []


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process takes two tokens at once at two per minute, so that none comes back during a test. The database is
    waited for, so that no request goes uncounted."""
    monkeypatch.setattr(throttling, "TAKES_PER_MINUTE", 1)
    monkeypatch.setattr(best_effort, "WAIT_SECONDS_MAX", 10)


@pytest.mark.django_db(transaction=True)
def test_two_processes_together_keep_to_the_limit(two_at_once: None) -> None:
    """G27: each of them takes two tokens at once, which count when they are taken."""
    rate, processes = Rate(per_minute=2, burst=9), [LocalTokens(), LocalTokens()]
    calls = [partial(process.acquire, "b", rate) for process in processes] * 8

    results = [*race(*calls), *(call() for call in calls)]

    assert [result == 0 for result in results].count(True) == 9


def test_local_tokens_expire(monkeypatch: pytest.MonkeyPatch, two_at_once: None) -> None:
    monkeypatch.setattr(throttling, "KEPT_SECONDS", -1)
    rate, process = Rate(per_minute=2, burst=4), LocalTokens()

    assert [process.acquire("b", rate) == 0 for _ in range(3)] == [True, True, False]


# --- A busy database ---


@pytest.fixture
def locked_sqlite(api: APIClient) -> Iterator[None]:
    """Another connection holds the write lock of SQLite."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.once
def test_a_locked_sqlite_database_can_be_read(locked_sqlite: None, api: APIClient) -> None:
    """Neither the request is counted nor the last use of the key recorded, and the read does not wait for either."""
    assert statuses(api, 2) == [200, 200]

    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_postgresql
def test_a_read_does_not_wait_for_a_locked_row_of_its_key(api: APIClient) -> None:
    login = connection.settings_dict
    address = {"host": login["HOST"], "port": login["PORT"], "user": login["USER"], "dbname": login["NAME"]}
    with psycopg.connect(**address) as other:
        other.execute("SELECT 1 FROM accounts_apikey FOR UPDATE")
        assert statuses(api, 1) == [200]
    assert ApiKey.objects.get().last_used_at is None
