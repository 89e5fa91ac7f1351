"""What the watching reads from the environment."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env

pytestmark = pytest.mark.once


@pytest.mark.parametrize("value, read", [("", []), ("a@b.com", ["a@b.com"]), (" a@b , c@d ", ["a@b", "c@d"])])
def test_mail_addresses_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, value: str, read: list[str]) -> None:
    monkeypatch.setenv("NAME", value)

    assert env.mail_addresses("NAME") == read


@pytest.mark.parametrize("value", ["ops", "a@b,ops", "Ann <a@b>", "a@b@c", "@"])
def test_what_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NAME", value)

    with pytest.raises(ImproperlyConfigured, match="is not an e-mail address"):
        env.mail_addresses("NAME")


@pytest.mark.parametrize("value", ["short", "fifteen-letters", "sixteen letters!"])
def test_a_token_that_can_be_guessed_or_sent_by_nobody_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NAME", value)

    with pytest.raises(ImproperlyConfigured, match="openssl rand -hex 32") as refusal:
        env.token("NAME")

    assert value not in str(refusal.value)


@pytest.mark.parametrize("value", ["", "a-token-of-some-length"])
def test_a_token_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NAME", value)

    assert env.token("NAME") == value
