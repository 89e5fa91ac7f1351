"""SQLite has one writer at a time. A request that would write meanwhile is answered 503, as long as that lasts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from accounts import api_keys
from credits.models import Account
from generations.models import Generation
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
ORDER = {"model": "flux-schnell", "input": {"prompt": "a cat"}}


@pytest.fixture
def session(alice: Account) -> Iterator[requests.Session]:
    """An HTTP session with the API key of Alice."""
    token = api_keys.issue(User.objects.get(pk=alice.user_id), "test").plain
    with requests.Session() as alice_session:
        alice_session.trust_env = False
        alice_session.headers["Authorization"] = f"Bearer {token}"
        yield alice_session


@pytest.fixture
def writer(session: requests.Session) -> Iterator[sqlite3.Connection]:
    """Another connection in a write transaction that does not end."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_an_order_is_answered_503_during_another_write_transaction(
    live_limn: LiveServer, session: requests.Session, writer: sqlite3.Connection
) -> None:
    answer = session.post(f"{live_limn.url}/api/v1/generations/", json=ORDER, timeout=HANG_SECONDS)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert Generation.objects.count() == 0


def test_an_order_succeeds_after_the_other_write_transaction(
    live_limn: LiveServer, session: requests.Session, writer: sqlite3.Connection
) -> None:
    writer.rollback()

    assert session.post(f"{live_limn.url}/api/v1/generations/", json=ORDER, timeout=HANG_SECONDS).status_code == 202
