"""The infographics form and the page of a batch."""

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
FORM = {"prompt": "How tea is made", "aspect_ratio": "16:9", "resolution": "2K", "count": "2"}


def order(browser: Client, **changes: Any) -> Any:
    return browser.post("/infographics/", {**FORM, "nonce": "0" * 32, **changes})


def test_infographics_are_ordered_and_generated(browser_of_alice: Client, alice: User, fal: Simulator) -> None:
    page = order(browser_of_alice, notify="on")["Location"]
    assert "0 of 2 ended" in browser_of_alice.get(page).text

    Work().until(lambda: "2 of 2 ended" in browser_of_alice.get(page).text)

    assert (Account.objects.for_user(alice).balance, Account.objects.for_user(alice).held) == (700, 0)
    assert (Batch.objects.get().notify, Batch.objects.get().purpose) == (True, "infographics")


def test_a_double_click_places_one_order(browser_of_alice: Client, alice: User) -> None:
    assert order(browser_of_alice)["Location"] == order(browser_of_alice)["Location"]

    assert Account.objects.for_user(alice).held == 300


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"prompt": ""}, "This field is required."),
        ({"count": "11"}, "less than or equal to 10"),
        ({"blog_url": "http://127.0.0.1/admin/"}, "could not be fetched"),
        ({"aspect_ratio": "7:9"}, "Select a valid choice"),
    ],
)
def test_a_mistake_is_reported_in_the_form(browser_of_alice: Client, wrong: dict[str, str], message: str) -> None:
    response = order(browser_of_alice, **wrong)

    assert response.status_code == 422
    assert message in response.text
    assert Generation.objects.count() == 0


def test_without_enough_credits_the_form_names_the_price(client: Client, bob: User) -> None:
    client.force_login(bob)

    response = order(client)

    assert (response.status_code, Batch.objects.count()) == (402, 0)
    assert "300" in response.text


def test_a_poll_without_changes_is_answered_without_content(browser_of_alice: Client) -> None:
    page = order(browser_of_alice)["Location"]
    version = browser_of_alice.get(page).context["version"]

    assert browser_of_alice.get(f"{page}status/?version={version}").status_code == 204
    assert browser_of_alice.get(f"{page}status/?version=0").status_code == 200


def test_one_button_cancels_the_whole_batch(browser_of_alice: Client, alice: User) -> None:
    page = order(browser_of_alice)["Location"]

    browser_of_alice.post(f"{page}cancel/")

    assert "2 of 2 ended" in browser_of_alice.get(page).text
    assert Account.objects.for_user(alice).held == 0


def test_the_batch_of_another_user_is_not_found(browser_of_alice: Client, bob: User) -> None:
    page = order(browser_of_alice)["Location"]
    browser_of_bob = Client()
    browser_of_bob.force_login(bob)

    responses = [browser_of_bob.get(page), browser_of_bob.get(f"{page}status/"), browser_of_bob.post(f"{page}cancel/")]

    assert [response.status_code for response in responses] == [404, 404, 404]


def test_while_orders_are_paused_the_form_says_so(browser_of_alice: Client) -> None:
    order_intake.pause()

    response = order(browser_of_alice)

    assert (response.status_code, Batch.objects.count()) == (429, 0)
    assert "paused" in response.text
