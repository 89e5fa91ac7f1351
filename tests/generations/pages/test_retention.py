"""The form for the retention of an account, on the page of notifications."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits.models import Account
from generations.models import Retention

pytestmark = [pytest.mark.django_db, pytest.mark.once]
URL = "/notices/keeping/"


def keep_for_three_days(user: User) -> None:
    Retention.objects.create(account=Account.objects.for_user(user), days=3)


def test_a_confirmed_number_of_days_is_stored_and_shown(browser_of_alice: Client, alice: User) -> None:
    page = browser_of_alice.post(URL, {"days": "1000", "sure": "on"}, follow=True).text

    assert Retention.objects.get(account__user=alice).days == 1000
    assert "1,000 days after they ended" in page
    assert 'name="days" min="1" max="3650" value="1000"' in page


def test_an_empty_number_ends_the_retention_of_this_user_only(browser_of_alice: Client, alice: User, bob: User) -> None:
    keep_for_three_days(alice)
    keep_for_three_days(bob)

    page = browser_of_alice.post(URL, {"days": ""}, follow=True).text

    assert Retention.objects.get().account.user == bob
    assert 'name="days" min="1" max="3650" value=""' in page


def test_an_invalid_number_of_days_changes_nothing(browser_of_alice: Client, alice: User) -> None:
    keep_for_three_days(alice)

    for days in ("0", "-1", "3651", "many", "9" * 5000, "1.5"):
        page = browser_of_alice.post(URL, {"days": days, "sure": "on"}, follow=True)
        assert 'class="note"' in page.text, days
        assert Retention.objects.get().days == 3


def test_without_the_confirmation_nothing_is_stored(browser_of_alice: Client) -> None:
    page = browser_of_alice.post(URL, {"days": "3"}, follow=True)

    assert "Please confirm" in page.text
    assert not Retention.objects.exists()
