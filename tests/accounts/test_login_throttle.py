"""Guessing passwords: slow for who guesses, and no trouble for who is guessed at. Cases G6, I8."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client, RequestFactory

from accounts import login_throttle
from accounts.models import Bucket

pytestmark = [pytest.mark.django_db, pytest.mark.once]
PLACES = {"page": "/login/", "admin": "/admin/login/"}


@pytest.fixture
def chief(db: None) -> User:
    return User.objects.create_superuser("chief", password="correct horse")


def log_in(place: str, *, name: str = "chief", password: str = "wrong", address: str = "10.0.0.1") -> HttpResponse:
    form = {"username": name, "password": password}
    return Client().post(PLACES[place], form, REMOTE_ADDR=address)  # type: ignore[return-value]  # it is one, and more


def is_in(response: HttpResponse) -> bool:
    return response.status_code == 302


@pytest.mark.parametrize("place", PLACES)
def test_after_five_failures_even_the_right_password_has_to_wait(chief: User, place: str) -> None:
    for _ in range(5):
        assert "Too many attempts" not in log_in(place).content.decode()

    no = log_in(place, password="correct horse")

    assert not is_in(no)
    assert re.search(r"Too many attempts\. Try again in [56]\d seconds\.", no.content.decode())


def test_the_page_says_429_and_when_to_come_again(chief: User) -> None:
    answers = [log_in("page") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 50 <= int(answers[5]["Retry-After"]) <= 60


def test_the_page_and_the_admin_count_together(chief: User) -> None:
    for _ in range(5):
        log_in("page")

    assert not is_in(log_in("admin", password="correct horse"))


def test_nobody_is_locked_out_from_elsewhere(chief: User) -> None:
    for _ in range(9):
        log_in("page", address="10.6.6.6")

    assert is_in(log_in("page", password="correct horse"))


@pytest.mark.parametrize("name", ["chief", "CHIEF", "nobody"])
def test_a_name_that_is_nobodys_sounds_the_same(chief: User, name: str) -> None:
    answers = [log_in("page", name=name) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]


def test_who_knows_the_password_may_come_as_often_as_he_likes(chief: User) -> None:
    assert all(is_in(log_in("page", password="correct horse")) for _ in range(8))


def test_many_names_from_one_address_run_out_of_tries_too(chief: User) -> None:
    # A few more than fit, for on a busy machine some are free again meanwhile.
    answers = [
        log_in("page", name=f"user{number}").status_code for number in range(login_throttle.OF_ADDRESS.burst + 10)
    ]

    assert 429 in answers
    assert is_in(log_in("page", password="correct horse", address="10.0.0.2"))


def test_what_was_typed_for_a_name_is_kept_nowhere(chief: User) -> None:
    log_in("page", name="my secret password")

    assert "secret" not in str(list(Bucket.objects.values()))


@pytest.mark.parametrize("is_https, address", [(True, "10.9.9.9"), (False, "127.0.0.1")])
def test_behind_a_proxy_the_last_address_counts(settings, rf: RequestFactory, is_https: bool, address: str) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if is_https else None

    request = rf.get("/", headers={"X-Forwarded-For": "6.6.6.6, 10.9.9.9"})

    assert login_throttle.address_of(request) == address
