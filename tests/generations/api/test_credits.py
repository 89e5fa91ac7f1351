"""The balance of an account, and the statement that explains it."""

from __future__ import annotations

from base64 import b64encode

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credits.models import Account
from tests.fixtures.api import PlaceOrder, key_of

pytestmark = pytest.mark.django_db
ENTRIES = "/api/v1/credits/entries/"


def test_held_credits_are_not_available(api: APIClient, order: PlaceOrder) -> None:
    order(num_images=4)

    assert api.get("/api/v1/credits/").json() == {"balance": 1000, "held": 12, "available": 988}


def test_a_user_without_an_account_has_no_credits(db: None) -> None:
    newcomer = User.objects.create_user("newcomer")

    assert key_of(newcomer).get("/api/v1/credits/").json() == {"balance": 0, "held": 0, "available": 0}
    assert key_of(newcomer).get(ENTRIES).json()["results"] == []


def test_the_statement_names_the_generation_and_the_reason(api: APIClient, completed: PlaceOrder) -> None:
    generation = completed()

    results = api.get(ENTRIES).json()["results"]

    assert [(entry["kind"], entry["balance_change"], entry["held_change"]) for entry in results] == [
        ("capture", -3, -3),
        ("hold", 0, 3),
        ("grant", 1000, 0),
    ]
    assert [entry["generation"] for entry in results] == [str(generation.pk), str(generation.pk), None]
    assert results[-1]["reason"] == "welcome"


def test_the_pages_of_the_statement_add_up_to_the_balance_while_orders_come_in(
    api: APIClient, alice: User, completed: PlaceOrder, order: PlaceOrder
) -> None:
    for _ in range(3):
        completed()
    account = Account.objects.get(user=alice)
    page = api.get(f"{ENTRIES}?limit=2").json()
    entries = page["results"]

    while page["next"]:
        order()
        page = api.get(page["next"]).json()
        entries += page["results"]

    assert sum(entry["balance_change"] for entry in entries) == account.balance
    assert sum(entry["held_change"] for entry in entries) == account.held


def test_a_statement_shows_the_own_account_only(bob: User, completed: PlaceOrder) -> None:
    completed()

    assert [entry["kind"] for entry in key_of(bob).get(ENTRIES).json()["results"]] == ["grant"]


def test_an_invalid_cursor_is_refused(api: APIClient) -> None:
    for position in ("p=a", "p=1.5"):
        cursor = b64encode(position.encode()).decode()

        assert api.get(f"{ENTRIES}?cursor={cursor}").status_code == 400, position


def test_a_cursor_beyond_the_largest_key_begins_at_the_newest_entry(api: APIClient) -> None:
    position = b64encode(b"p=" + b"9" * 24).decode()

    assert len(api.get(f"{ENTRIES}?cursor={position}").json()["results"]) == 1
