"""Guessing passwords is slow, and does not lock out the user whose password is guessed. Cases G6 and I8 of
docs/failure-modes.md."""

from __future__ import annotations

import re

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from accounts import login_throttle
from accounts.models import Bucket

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.usefixtures("chief")]
PAGE, ADMIN = "/login/", "/admin/login/"


def log_in(url: str = PAGE, *, name: str = "chief", password: str = "wrong", address: str = "10.0.0.1") -> HttpResponse:
    form = {"username": name, "password": password}
    return Client().post(url, form, REMOTE_ADDR=address)  # type: ignore[return-value]  # a subclass


def is_logged_in(response: HttpResponse) -> bool:
    return response.status_code == 302


@pytest.mark.parametrize("url", [PAGE, ADMIN])
def test_after_five_failures_even_the_right_password_must_wait(url: str) -> None:
    for _ in range(5):
        assert "Too many attempts" not in log_in(url).content.decode()

    refused = log_in(url, password="correct horse")

    assert not is_logged_in(refused)
    assert re.search(r"Too many attempts\. Try again in \d\d seconds\.", refused.content.decode())


def test_the_page_answers_429_with_retry_after() -> None:
    answers = [log_in() for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[5]["Retry-After"]) <= 60


def test_the_page_and_the_admin_count_together() -> None:
    for _ in range(5):
        log_in(PAGE)

    assert not is_logged_in(log_in(ADMIN, password="correct horse"))


def test_a_user_can_log_in_from_another_address() -> None:
    for _ in range(9):
        log_in(address="10.6.6.6")

    assert is_logged_in(log_in(password="correct horse"))


def test_unknown_names_are_throttled_like_known_ones() -> None:
    """Otherwise the throttle would tell which names exist. Upper and lower case are one name."""
    for name in ("chief", "mallory"):
        answers = [log_in(name=spelled) for spelled in [name, name.upper()] * 3]

        assert [answer.status_code for answer in answers] == [200] * 5 + [429]


def test_successful_logins_do_not_count() -> None:
    assert all(is_logged_in(log_in(password="correct horse")) for _ in range(8))


def test_many_names_from_one_address_are_throttled_too() -> None:
    # A few more than the burst, because tokens come back while a busy machine works through the list.
    names = [f"user{number}" for number in range(login_throttle.ADDRESS_RATE.burst + 10)]

    assert 429 in [log_in(name=name).status_code for name in names]
    assert is_logged_in(log_in(password="correct horse", address="10.0.0.2"))


def test_the_typed_name_is_not_stored() -> None:
    """People type their password into the wrong field."""
    log_in(name="my secret password")

    assert Bucket.objects.exists()
    assert "secret" not in str(list(Bucket.objects.values()))


@pytest.mark.parametrize("is_https, address", [(True, "10.9.9.9"), (False, "127.0.0.1")])
def test_behind_a_proxy_the_last_forwarded_address_counts(
    settings, rf: RequestFactory, is_https: bool, address: str
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if is_https else None

    request = rf.get("/", headers={"X-Forwarded-For": "6.6.6.6, 10.9.9.9"})

    assert login_throttle.client_address(request) == address
