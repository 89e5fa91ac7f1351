"""How ALERT_EMAIL and METRICS_TOKEN are read from the environment."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env

pytestmark = pytest.mark.once


def test_email_addresses_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"": [], "a@b.com": ["a@b.com"], " a@b , c@d ": ["a@b", "c@d"]}

    for value, addresses in expected.items():
        monkeypatch.setenv("NAME", value)
        assert env.mail_addresses("NAME") == addresses


def test_a_value_that_is_not_an_email_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("ops", "a@b,ops", "Ann <a@b>", "a@b@c", "@"):
        monkeypatch.setenv("NAME", value)

        with pytest.raises(ImproperlyConfigured, match="is not an e-mail address"):
            env.mail_addresses("NAME")


def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("short", "fifteen-letters", "sixteen letters!"):
        monkeypatch.setenv("NAME", value)

        with pytest.raises(ImproperlyConfigured, match="openssl rand -hex 32") as refusal:
            env.token("NAME")

        assert value not in str(refusal.value)


def test_a_token_may_be_empty_or_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "a-token-of-some-length"):
        monkeypatch.setenv("NAME", value)

        assert env.token("NAME") == value
