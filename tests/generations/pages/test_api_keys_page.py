"""The page of API keys: a key is created, shown once, and revoked."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey
from credits.models import Account
from tests.fixtures.limits import alice, bob, key_of, reset_limits

__all__ = ["alice", "bob", "reset_limits"]
pytestmark = [pytest.mark.django_db, pytest.mark.once]
KEYS = "/keys/"


@pytest.fixture
def browser(client: Client, alice: Account) -> Client:
    client.force_login(alice.user)
    return client


def test_a_new_key_is_shown_once(browser: Client, alice: Account) -> None:
    form = {"name": "our shop", "scopes": ["order"], "lifetime": "7", "credits_max": "50", "models": ["flux-dev"]}

    page = browser.post(KEYS, form)

    plain = re.search(r'id="plain">([^<]+)<', page.text)[1]  # type: ignore[index]
    key = api_keys.find(plain)
    assert key is not None
    assert (key.user, key.name, key.scopes, key.credits_max) == (alice.user, "our shop", ["order"], 50)
    assert key.model_slugs == ["flux-dev"]
    assert abs(key.expires_at - timezone.now() - timedelta(days=7)) < timedelta(minutes=10)  # type: ignore[operator]
    assert "no-store" in page["Cache-Control"]
    later = browser.get(KEYS).text
    assert plain not in later
    assert key.prefix in later


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"scopes": []}, {"scopes": ["all"]}, {"models": ["x"]}, {"credits_max": "-1"}, {"lifetime": "9"}],
)
def test_an_invalid_form_creates_no_key(browser: Client, wrong: dict[str, object]) -> None:
    page = browser.post(KEYS, {"name": "our shop", "scopes": ["read"], **wrong})

    assert page.status_code == 422
    assert 'class="error"' in page.text
    assert not ApiKey.objects.exists()


def test_the_button_revokes_a_key(browser: Client, alice: Account) -> None:
    key = key_of(alice)

    page = browser.post(f"{KEYS}{key.uid}/revoke/", follow=True)

    assert "was revoked" in page.text
    assert not ApiKey.objects.usable().exists()


def test_the_key_of_another_user_is_neither_shown_nor_revoked(browser: Client, bob: Account) -> None:
    key = key_of(bob)

    assert key.prefix not in browser.get(KEYS).text
    assert browser.post(f"{KEYS}{key.uid}/revoke/").status_code == 404
    assert ApiKey.objects.usable().exists()


def test_the_page_requires_a_login(client: Client, db: None) -> None:
    assert client.get(KEYS)["Location"] == f"/login/?next={KEYS}"
    assert client.post(KEYS)["Location"] == f"/login/?next={KEYS}"
