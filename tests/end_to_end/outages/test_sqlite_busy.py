"""SQLite has one writer. A request that finds it busy is answered 503, however long the other one writes."""

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
def alices(alice: Account) -> Iterator[requests.Session]:
    """Alice, with her key."""
    token = api_keys.issue(User.objects.get(pk=alice.user_id), "test").plain
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


@pytest.fixture
def busy(alices: requests.Session) -> Iterator[sqlite3.Connection]:
    """Somebody else writes, and does not come to an end."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_writer_is_answered_503_while_another_writes(
    live_limn: LiveServer, alices: requests.Session, busy: sqlite3.Connection
) -> None:
    no = alices.post(f"{live_limn.url}/api/v1/generations/", json=ORDER, timeout=HANG_SECONDS)

    assert (no.status_code, no.headers["Retry-After"]) == (503, "5")
    assert Generation.objects.count() == 0


def test_the_next_writer_is_served(live_limn: LiveServer, alices: requests.Session, busy: sqlite3.Connection) -> None:
    busy.rollback()

    assert alices.post(f"{live_limn.url}/api/v1/generations/", json=ORDER, timeout=HANG_SECONDS).status_code == 202
