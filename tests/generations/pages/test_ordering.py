"""From the list of models to an order, in a browser without JavaScript."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits import ledger
from credits.models import Account
from generations.models import Generation, Phase, Status
from simulator import Simulator
from tests.fixtures.pages import PlaceOrder, page_of
from tests.generations.pages.test_forms import typed

pytestmark = pytest.mark.django_db(transaction=True)
FORM = "/new/flux-schnell/"
NONCE = "0123456789abcdef" * 2


def test_an_order_from_the_login_to_the_page_of_the_generation(client: Client, alice: User, fal: Simulator) -> None:
    assert client.get("/models/", follow=True).redirect_chain == [("/login/?next=/models/", 302)]
    models = client.post("/login/", {"username": "alice", "password": "correct horse", "next": "/models/"}, follow=True)
    assert f'href="{FORM}"' in models.text

    nonce = re.search(r'name="nonce" value="(\w+)"', client.get(FORM).text)[1]  # type: ignore[index]
    detail = client.post(FORM, typed("flux-schnell", nonce=nonce), follow=True)

    generation = Generation.objects.get()
    assert detail.redirect_chain == [(page_of(generation), 302)]
    assert "a cat on the moon" in detail.text
    assert "3 credits reserved" in detail.text


def test_the_order_is_submitted_to_fal_before_the_page_is_shown(browser_of_alice: Client, fal: Simulator) -> None:
    browser_of_alice.post(FORM, typed("flux-schnell", prompt="a fox"))

    assert [request.inputs["prompt"] for request in fal.log.accepted()] == ["a fox"]
    assert Generation.objects.get().status == Status.PROCESSING


def test_if_fal_is_unavailable_the_order_waits_without_an_error(browser_of_alice: Client, fal: Simulator) -> None:
    fal.script("status:429")

    detail = browser_of_alice.post(FORM, typed("flux-schnell"), follow=True)

    assert detail.status_code == 200
    assert Generation.objects.get().phase == Phase.QUEUED


def test_a_double_click_places_one_order(browser_of_alice: Client, alice: User, fal: Simulator) -> None:
    form = typed("flux-schnell", nonce=NONCE)

    first, second = (browser_of_alice.post(FORM, form) for _ in range(2))

    assert first.headers["Location"] == second.headers["Location"]
    assert Generation.objects.count() == len(fal.log.posts()) == 1
    assert Account.objects.get(user=alice).held == 3


def test_the_same_form_with_another_prompt_is_another_order(browser_of_alice: Client, fal: Simulator) -> None:
    for prompt in ("a fox", "two foxes"):
        browser_of_alice.post(FORM, typed("flux-schnell", prompt=prompt, nonce=NONCE))

    assert Generation.objects.count() == 2


def test_an_error_is_shown_at_its_field_and_the_values_are_kept(browser_of_alice: Client, alice: User) -> None:
    form = browser_of_alice.post(FORM, typed("flux-schnell", prompt="a <fox>", num_images="9", seed="7"))

    assert form.status_code == 422
    assert 'id="input-num_images-errors">Input should be less than or equal to 4' in form.text
    assert "a &lt;fox&gt;</textarea>" in form.text
    assert 'name="seed" value="7"' in form.text
    assert not Generation.objects.exists()


@pytest.mark.parametrize("prompt, message", [("", "Please fill this in."), ("a\0b", "NUL characters")])
def test_an_invalid_prompt_is_rejected_with_a_reason(browser_of_alice: Client, prompt: str, message: str) -> None:
    form = browser_of_alice.post(FORM, typed("flux-schnell", prompt=prompt))

    assert form.status_code == 422
    assert message in form.text


def test_without_enough_credits_the_form_is_kept(client: Client, bob: User) -> None:
    client.force_login(bob)

    form = client.post(FORM, typed("flux-schnell", prompt="a poor fox"))

    assert form.status_code == 402
    assert "This costs 3 credits and 0 are available." in form.text
    assert "a poor fox" in form.text


def test_the_price_follows_the_inputs(browser_of_alice: Client) -> None:
    price = browser_of_alice.post(f"{FORM}price/", typed("flux-schnell", prompt="", num_images="4"))

    assert '<span class="amount">12</span>' in price.text
    assert "1,000 available" in price.text


def test_invalid_inputs_have_no_price(browser_of_alice: Client) -> None:
    price = browser_of_alice.post(f"{FORM}price/", typed("flux-schnell", num_images="many"))

    assert "The price is shown when the inputs are valid." in price.text


def test_the_price_names_the_missing_credits(client: Client, bob: User) -> None:
    client.force_login(bob)

    assert "3 more needed." in client.post(f"{FORM}price/", typed("flux-schnell")).text


def test_without_javascript_a_button_shows_the_price_and_orders_nothing(browser_of_alice: Client) -> None:
    form = browser_of_alice.post(FORM, typed("flux-schnell", num_images="2", price=""))

    assert '<span class="amount">6</span>' in form.text
    assert not Generation.objects.exists()


def test_a_preset_fills_in_its_inputs_and_keeps_the_others(browser_of_alice: Client) -> None:
    form = browser_of_alice.post("/new/tripo-v2.5/", typed("tripo-v2.5", preset="high", seed="7"))

    assert '<option value="HD" selected>' in form.text
    assert 'value="100000"' in form.text
    assert 'value="https://example.com/cat.png"' in form.text
    assert '<span class="amount">400</span>' in form.text


def test_an_earlier_generation_fills_in_the_form(browser_of_alice: Client, order: PlaceOrder) -> None:
    earlier = order(prompt="a fox in snow", num_images=3)

    form = browser_of_alice.get(f"{FORM}?like={earlier.pk}")

    assert "a fox in snow</textarea>" in form.text
    assert 'name="num_images" value="3"' in form.text


def test_a_generation_of_another_user_fills_in_nothing(browser_of_alice: Client, bob: User, order: PlaceOrder) -> None:
    ledger.grant(Account.objects.for_user(bob), 10, key="bob:start", actor="test")
    foreign = order(prompt="a secret fox", user=bob)

    for like in (foreign.pk, "nonsense", "01a1f95a-5151-7460-ad21-5be2c2129ed5"):
        form = browser_of_alice.get(f"{FORM}?like={like}")

        assert form.status_code == 200
        assert "a secret fox" not in form.text


def test_a_model_that_is_not_offered_is_not_found(browser_of_alice: Client) -> None:
    assert browser_of_alice.post("/new/no-such-model/").status_code == 404
    assert browser_of_alice.post("/new/no-such-model/price/").status_code == 404


def test_a_form_without_a_csrf_token_orders_nothing(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)

    response = strict.post(FORM, typed("flux-schnell"))

    assert response.status_code == 403
    assert "nothing was changed" in response.text
    assert not Generation.objects.exists()
