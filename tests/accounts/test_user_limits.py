"""The limits of a user: the settings, unless staff have set others in the admin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import user_limits
from accounts.models import UserLimits
from accounts.token_bucket import Rate
from credits.models import Account

pytestmark = pytest.mark.django_db


def test_a_user_without_an_account_has_the_limits_of_the_settings(settings: Settings, alice: User) -> None:
    settings.USER_REQUESTS_PER_MINUTE, settings.USER_RUNNING_MAX = 30, 4

    limits = user_limits.limits_of(None)

    assert (limits.requests_per_minute, limits.running_max) == (30, 4)
    assert user_limits.request_rate_of(alice) == Rate(per_minute=30, burst=30)


def test_limits_of_an_account_replace_the_settings_one_by_one(settings: Settings, alice: User) -> None:
    """0 is a limit of its own: unlimited."""
    settings.USER_RUNNING_MAX, settings.USER_CREDITS_PER_DAY, settings.USER_CREDITS_PER_MONTH = 4, 500, 9000
    account = Account.objects.for_user(alice)
    UserLimits.objects.create(account=account, running_max=0, credits_per_day=70)

    limits = user_limits.limits_of(account)

    assert (limits.running_max, limits.credits_per_day, limits.credits_per_month) == (0, 70, 9000)


def test_a_rate_of_0_requests_is_no_rate(settings: Settings, alice: User) -> None:
    UserLimits.objects.create(account=Account.objects.for_user(alice), requests_per_minute=0)

    assert user_limits.request_rate_of(alice) is None


def test_staff_set_limits_in_the_admin(client: Client, chief: User, alice: User) -> None:
    client.force_login(chief)
    account = Account.objects.for_user(alice)

    client.post("/admin/accounts/userlimits/add/", {"account": account.pk, "running_max": "0"})

    assert user_limits.limits_of(account).running_max == 0
    assert str(UserLimits.objects.get()) == "limits of alice"
