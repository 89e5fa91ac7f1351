"""`manage.py demo_user`: the contract of those who script Limn."""

from __future__ import annotations

import io
import json

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from credits import ledger
from credits.models import Account

pytestmark = pytest.mark.django_db


def demo_user(**options: object) -> dict[str, str]:
    output = io.StringIO()
    call_command("demo_user", username="demo", json=True, stdout=output, **options)
    return dict(json.loads(output.getvalue()))


def available() -> int:
    return Account.objects.for_user(User.objects.get(username="demo")).available


def test_it_prints_a_login_and_a_key_that_work() -> None:
    made = demo_user(credits=50)

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {made['token']}")

    assert set(made) == {"username", "password", "token"}
    assert authenticate(username="demo", password=made["password"]) is not None
    assert client.get("/api/v1/credits/").json()["available"] == 50


def test_again_it_keeps_the_user_and_tops_up() -> None:
    first = demo_user(credits=50)
    ledger.hold(Account.objects.for_user(User.objects.get()), 20, reference="test:1")

    second = demo_user(credits=50)

    assert User.objects.count() == 1
    assert available() == 50
    assert first["token"] != second["token"]
    assert authenticate(username="demo", password=second["password"]) is not None


def test_it_never_takes_credits_away() -> None:
    demo_user(credits=50)

    demo_user(credits=10)

    assert available() == 50


@pytest.mark.parametrize("staff", [True, False])
def test_staff_only_when_asked_for(staff: bool) -> None:
    demo_user(credits=0, staff=staff)

    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (staff, staff)


def test_staff_stays_staff() -> None:
    demo_user(credits=0, staff=True)

    demo_user(credits=0)

    assert User.objects.get().is_staff


def test_for_people_it_is_a_short_table(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("demo_user", username="ada", credits=7)

    words = capsys.readouterr().out.split()
    assert words[:2] == ["username", "ada"]
    assert words[-2:] == ["credits", "7"]


def test_a_nonsense_amount_is_a_clear_sentence() -> None:
    with pytest.raises(CommandError, match="not a whole number"):
        demo_user(credits=10**12)

    assert not User.objects.exists()
