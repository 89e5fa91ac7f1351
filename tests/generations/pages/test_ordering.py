"""From the list of models to an order, by a browser without JavaScript."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits.models import Account
from generations.models import Generation, Phase, Status
from simulator import Simulator
from tests.fixtures.pages import Place, page_of
from tests.generations.pages.test_forms import typed

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "/new/flux-schnell/"
NONCE = "0123456789abcdef" * 2


def test_the_whole_way_without_javascript(client: Client, alice: User, fal: Simulator) -> None:
    asked = client.get("/models/", follow=True)
    assert asked.redirect_chain == [("/login/?next=/models/", 302)]
    models = client.post("/login/", {"username": "alice", "password": "correct horse", "next": "/models/"}, follow=True)
    assert 'href="/new/flux-schnell/"' in models.text

    nonce = re.search(r'name="nonce" value="(\w+)"', client.get(NEW).text)[1]  # type: ignore[index]
    detail = client.post(NEW, typed("flux-schnell", nonce=nonce), follow=True)

    generation = Generation.objects.get()
    assert detail.redirect_chain == [(page_of(generation), 302)]
    assert "a cat on the moon" in detail.text
    assert "3 credits held" in detail.text


def test_an_order_is_with_fal_before_the_page_appears(browser_of_alice: Client, fal: Simulator) -> None:
    browser_of_alice.post(NEW, typed("flux-schnell", prompt="a fox"))

    assert [request.inputs["prompt"] for request in fal.log.accepted()] == ["a fox"]
    assert Generation.objects.get().status == Status.PROCESSING


def test_when_fal_is_away_the_order_waits_and_no_error_is_shown(browser_of_alice: Client, fal: Simulator) -> None:
    fal.script("status:429")

    detail = browser_of_alice.post(NEW, typed("flux-schnell"), follow=True)

    assert detail.status_code == 200
    assert Generation.objects.get().phase == Phase.QUEUED


def test_a_double_click_is_one_order(browser_of_alice: Client, alice: User, fal: Simulator) -> None:
    sent = typed("flux-schnell", nonce=NONCE)

    first, second = (browser_of_alice.post(NEW, sent) for _ in range(2))

    assert first.headers["Location"] == second.headers["Location"]
    assert Generation.objects.count() == len(fal.log.posts()) == 1
    assert Account.objects.get(user=alice).held == 3


def test_going_back_and_changing_the_prompt_is_another_order(browser_of_alice: Client, fal: Simulator) -> None:
    for prompt in ("a fox", "two foxes"):
        browser_of_alice.post(NEW, typed("flux-schnell", prompt=prompt, nonce=NONCE))

    assert Generation.objects.count() == 2


def test_a_mistake_is_named_beside_its_field_and_nothing_is_lost(browser_of_alice: Client, alice: User) -> None:
    answer = browser_of_alice.post(NEW, typed("flux-schnell", prompt="a <fox>", num_images="9", seed="7"))

    assert answer.status_code == 422
    assert 'id="input-num_images-errors">Input should be less than or equal to 4' in answer.text
    assert "a &lt;fox&gt;</textarea>" in answer.text
    assert 'name="seed" value="7"' in answer.text
    assert not Generation.objects.exists()


@pytest.mark.parametrize("prompt, words", [("", "Please fill this in."), ("a\0b", "NUL characters")])
def test_a_prompt_that_cannot_be_is_refused_in_words(browser_of_alice: Client, prompt: str, words: str) -> None:
    answer = browser_of_alice.post(NEW, typed("flux-schnell", prompt=prompt))

    assert answer.status_code == 422
    assert words in answer.text


def test_who_cannot_pay_is_told_and_keeps_the_words(client: Client, bob: User) -> None:
    client.force_login(bob)

    answer = client.post(NEW, typed("flux-schnell", prompt="a poor fox"))

    assert answer.status_code == 402
    assert "This costs 3 credits and 0 are available." in answer.text
    assert "a poor fox" in answer.text


def test_the_price_follows_the_inputs(browser_of_alice: Client) -> None:
    price = browser_of_alice.post(f"{NEW}price/", typed("flux-schnell", prompt="", num_images="4"))

    assert '<span class="amount">12</span>' in price.text
    assert "1,000 available" in price.text


def test_there_is_no_price_for_what_cannot_be_ordered(browser_of_alice: Client) -> None:
    price = browser_of_alice.post(f"{NEW}price/", typed("flux-schnell", num_images="many"))

    assert "The price appears when the inputs fit." in price.text


def test_the_price_says_how_much_is_missing(client: Client, bob: User) -> None:
    client.force_login(bob)

    assert "3 more needed." in client.post(f"{NEW}price/", typed("flux-schnell")).text


def test_without_javascript_a_button_shows_the_price_and_orders_nothing(browser_of_alice: Client) -> None:
    answer = browser_of_alice.post(NEW, typed("flux-schnell", num_images="2", price=""))

    assert '<span class="amount">6</span>' in answer.text
    assert not Generation.objects.exists()


def test_a_preset_fills_in_its_inputs_and_keeps_the_others(browser_of_alice: Client) -> None:
    answer = browser_of_alice.post("/new/tripo-v2.5/", typed("tripo-v2.5", preset="high", seed="7"))

    assert '<option value="HD" selected>' in answer.text
    assert 'value="100000"' in answer.text
    assert 'value="https://example.com/cat.png"' in answer.text
    assert '<span class="amount">400</span>' in answer.text


def test_an_earlier_order_can_be_changed_and_ordered_again(browser_of_alice: Client, order: Place) -> None:
    earlier = order(prompt="a fox in snow", num_images=3)

    form = browser_of_alice.get(f"{NEW}?like={earlier.pk}")

    assert "a fox in snow</textarea>" in form.text
    assert 'name="num_images" value="3"' in form.text


@pytest.mark.parametrize("like", ["nonsense", "01a1f95a-5151-7460-ad21-5be2c2129ed5"])
def test_what_is_not_ones_own_fills_in_nothing(browser_of_alice: Client, like: str) -> None:
    assert browser_of_alice.get(f"{NEW}?like={like}").status_code == 200


@pytest.mark.parametrize("address", ["/new/no-such-model/", "/new/no-such-model/price/"])
def test_a_model_that_is_not_on_offer_is_not_found(browser_of_alice: Client, address: str) -> None:
    assert browser_of_alice.post(address).status_code == 404


def test_a_failed_order_can_be_tried_again_once_a_click(
    browser_of_alice: Client, fal: Simulator, finished: Place
) -> None:
    fal.script("fail:downstream_service_error")
    failed = finished(prompt="a fox")

    for _ in range(2):
        browser_of_alice.post(page_of(failed, "generation-retry"), {"nonce": NONCE})

    again = Generation.objects.exclude(pk=failed.pk).get()
    assert again.retry_of == failed
    assert again.input["prompt"] == "a fox"


def test_what_runs_is_not_ordered_twice_by_a_retry(browser_of_alice: Client, order: Place) -> None:
    running = order()

    answer = browser_of_alice.post(page_of(running, "generation-retry"))

    assert answer.headers["Location"] == page_of(running)
    assert Generation.objects.count() == 1


def test_a_form_from_elsewhere_orders_nothing(alice: User) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(alice)

    answer = careful.post(NEW, typed("flux-schnell"))

    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text or "nothing was changed" in answer.text
    assert not Generation.objects.exists()
