"""Several at once, in the browser."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits.models import Account
from generations.models import Batch, Generation
from generations.ordering import order_intake
from simulator import Simulator
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)
WISH = {"prompt": "How tea is made", "aspect_ratio": "16:9", "resolution": "2K", "count": "2"}


def order(browser: Client, **changes: Any) -> Any:
    return browser.post("/infographics/", {**WISH, "nonce": "0" * 32, **changes})


def test_infographics_are_ordered_and_made(browser_of_alice: Client, alice: User, fal: Simulator) -> None:
    page = order(browser_of_alice, notify="on")["Location"]
    assert "0 of 2 ended" in browser_of_alice.get(page).text

    Work().until(lambda: "2 of 2 ended" in browser_of_alice.get(page).text)

    assert (Account.objects.for_user(alice).balance, Account.objects.for_user(alice).held) == (700, 0)
    assert (Batch.objects.get().notify, Batch.objects.get().purpose) == (True, "infographics")


def test_a_double_click_is_one_order(browser_of_alice: Client, alice: User) -> None:
    assert order(browser_of_alice)["Location"] == order(browser_of_alice)["Location"]

    assert Account.objects.for_user(alice).held == 300


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"prompt": ""}, "This field is required."),
        ({"count": "11"}, "less than or equal to 10"),
        ({"blog_url": "http://127.0.0.1/admin/"}, "could not be fetched"),
        ({"aspect_ratio": "7:9"}, "Select a valid choice"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field(
    browser_of_alice: Client, wrong: dict[str, str], words: str
) -> None:
    response = order(browser_of_alice, **wrong)

    assert response.status_code == 422
    assert words in response.text
    assert Generation.objects.count() == 0


def test_who_cannot_pay_reads_how_much_is_needed(client: Client, bob: User) -> None:
    client.force_login(bob)

    response = order(client)

    assert (response.status_code, Batch.objects.count()) == (402, 0)
    assert "300" in response.text


def test_while_nothing_changes_nothing_is_sent(browser_of_alice: Client) -> None:
    page = order(browser_of_alice)["Location"]
    version = browser_of_alice.get(page).context["version"]

    assert browser_of_alice.get(f"{page}status/?version={version}").status_code == 204
    assert browser_of_alice.get(f"{page}status/?version=0").status_code == 200


def test_cancelled_together(browser_of_alice: Client, alice: User) -> None:
    page = order(browser_of_alice)["Location"]

    browser_of_alice.post(f"{page}cancel/")

    assert "2 of 2 ended" in browser_of_alice.get(page).text
    assert Account.objects.for_user(alice).held == 0


def test_somebody_elses_batch_does_not_exist(browser_of_alice: Client, client: Client, bob: User) -> None:
    page = order(browser_of_alice)["Location"]
    stranger = Client()
    stranger.force_login(bob)

    answers = [stranger.get(page), stranger.get(f"{page}status/"), stranger.post(f"{page}cancel/")]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_while_orders_are_paused_the_page_says_so(browser_of_alice: Client) -> None:
    order_intake.pause()

    response = order(browser_of_alice)

    assert (response.status_code, Batch.objects.count()) == (429, 0)
    assert "paused" in response.text
