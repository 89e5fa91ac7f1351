"""The buttons that repeat an ended generation: “Try again” of a failed one, “Generate again” of a completed one."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits import ledger
from credits.models import Account
from generations import lifecycle
from generations.models import Generation
from generations.ordering import price_book
from simulator import Simulator
from tests.fixtures.pages import PlaceOrder, page_of

pytestmark = pytest.mark.django_db(transaction=True)
NONCE = "0123456789abcdef" * 2


def test_a_double_click_on_retry_places_one_order(
    browser_of_alice: Client, fal: Simulator, finished: PlaceOrder
) -> None:
    fal.script("fail:downstream_service_error")
    failed = finished(prompt="a fox")

    for _ in range(2):
        browser_of_alice.post(page_of(failed, "generation-retry"), {"nonce": NONCE})

    retried = Generation.objects.exclude(pk=failed.pk).get()
    assert retried.retry_of == failed
    assert retried.input["prompt"] == "a fox"


@pytest.fixture
def failed(fal: Simulator, finished: PlaceOrder) -> Generation:
    fal.script("fail:downstream_service_error")
    return finished(prompt="a fox")


def test_a_retry_in_another_tab_leads_to_the_first(browser_of_alice: Client, failed: Generation) -> None:
    retry = page_of(failed, "generation-retry")
    browser_of_alice.post(retry, {"nonce": NONCE})

    second = browser_of_alice.post(retry, {"nonce": NONCE[::-1]}, follow=True)

    retried = Generation.objects.exclude(pk=failed.pk).get()
    assert second.redirect_chain == [(page_of(retried), 302)]
    assert "nothing more was ordered" in second.text


def test_a_completed_generation_shows_what_it_costs_again(browser_of_alice: Client, finished: PlaceOrder) -> None:
    completed = finished(prompt="a fox", num_images=2)

    page = browser_of_alice.get(page_of(completed)).text

    assert '<button id="again">Generate again for 6 credits</button>' in page
    assert '<input type="hidden" name="credits" value="6">' in page
    assert "The seed is fixed" not in page


def test_a_fixed_seed_is_named_beside_the_price(browser_of_alice: Client, finished: PlaceOrder) -> None:
    assert "The seed is fixed" in browser_of_alice.get(page_of(finished(prompt="a fox", seed=7))).text


def test_a_click_on_again_orders_the_same(browser_of_alice: Client, finished: PlaceOrder) -> None:
    completed = finished(prompt="a fox", num_images=2)

    page = browser_of_alice.post(page_of(completed, "generation-again"), {"nonce": NONCE, "credits": "6"}, follow=True)

    ordered = Generation.objects.exclude(pk=completed.pk).get()
    assert (ordered.retry_of, ordered.input, ordered.credits) == (completed, completed.input, 6)
    assert page.redirect_chain == [(page_of(ordered), 302)]
    assert f'<dt>Repeats</dt><dd><a href="{page_of(completed)}">' in page.text


def test_a_second_click_on_again_orders_nothing(browser_of_alice: Client, finished: PlaceOrder) -> None:
    again = page_of(finished(prompt="a fox"), "generation-again")
    form = {"nonce": NONCE, "credits": "3"}

    pages = [browser_of_alice.post(again, form) for form in (form, form, {**form, "nonce": NONCE[::-1]})]

    assert len({page.headers["Location"] for page in pages}) == 1
    assert Generation.objects.count() == 2


@pytest.mark.parametrize("credits", ["2", "4", "", "three", "9" * 5000, "³"])
def test_again_at_another_price_orders_nothing(browser_of_alice: Client, finished: PlaceOrder, credits: str) -> None:
    completed = finished(prompt="a fox")

    form = {"nonce": NONCE, "credits": credits}
    page = browser_of_alice.post(page_of(completed, "generation-again"), form, follow=True)

    assert page.redirect_chain == [(page_of(completed), 302)]
    assert "Nothing was ordered, because the price is now 3 credits." in page.text
    assert Generation.objects.count() == 1


def test_again_without_enough_credits_shows_the_form(
    browser_of_alice: Client, alice: User, finished: PlaceOrder
) -> None:
    completed = finished(prompt="a fox")
    ledger.adjust(Account.objects.for_user(alice), -996, key="spent", actor="test", reason="spent")

    form = browser_of_alice.post(page_of(completed, "generation-again"), {"nonce": NONCE, "credits": "3"})

    assert (form.status_code, "a fox</textarea>" in form.text) == (402, True)


@pytest.mark.parametrize("button", ["generation-retry", "generation-again"])
def test_an_old_page_repeats_nothing(
    browser_of_alice: Client, order: PlaceOrder, finished: PlaceOrder, failed: Generation, button: str
) -> None:
    """Its generation is in another state than the button is for."""
    others = [order(), finished() if button == "generation-retry" else failed]
    before = Generation.objects.count()

    for other in others:
        page = browser_of_alice.post(page_of(other, button), {"nonce": NONCE, "credits": "3"})
        assert page.headers["Location"] == page_of(other)

    assert Generation.objects.count() == before


def test_neither_an_erased_nor_a_withdrawn_generation_is_offered_again(
    browser_of_alice: Client, finished: PlaceOrder
) -> None:
    erased, withdrawn = finished(prompt="a fox"), finished(prompt="two foxes")
    lifecycle.erase(erased, actor="user:alice")
    assert "Generate again" not in browser_of_alice.get(page_of(erased)).text

    price_book.write("flux-schnell", offered=False, actor="test")

    assert "Generate again" not in browser_of_alice.get(page_of(withdrawn)).text


def test_a_running_generation_cannot_be_retried(browser_of_alice: Client, order: PlaceOrder) -> None:
    running = order()

    response = browser_of_alice.post(page_of(running, "generation-retry"))

    assert response.headers["Location"] == page_of(running)
    assert Generation.objects.count() == 1
