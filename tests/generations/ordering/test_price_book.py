"""The price book: what a model costs from when on, and that an order keeps its price."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import api_keys
from credits.models import Account
from generations import lifecycle
from generations.catalogue import MODELS, UnknownModel, find
from generations.models import Generation, PriceBookEntry
from generations.ordering import price_book
from generations.ordering.orders import Order
from generations.ordering.price_book import NotOffered, Terms
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db
FOX = find("flux-schnell").read({"prompt": "a fox"})
SOON = timedelta(hours=1)


def write(slug: str = "flux-schnell", **details: Any) -> PriceBookEntry:
    return price_book.write(slug, actor="test", **details)


def in_force_since(moment: datetime, **details: Any) -> PriceBookEntry:
    """An entry that has been in force since `moment`, written before it."""
    return PriceBookEntry.objects.create(model="flux-schnell", effective_from=moment, actor="test", **details)


def order_of(slug: str = "flux-schnell") -> Order:
    inputs = {"prompt": "a fox"}
    return Order(model=find(slug), inputs=find(slug).read(inputs), raw_input=inputs)


# --- Entries ---


def test_without_an_entry_the_list_price_applies() -> None:
    assert price_book.credits(find("flux-schnell"), FOX) == 3
    assert price_book.terms_of("flux-schnell") == Terms(percent=100, offered=True)


def test_a_percentage_of_the_list_price_is_rounded_up() -> None:
    write(percent=150)

    assert price_book.credits(find("flux-schnell"), FOX) == 5
    assert price_book.find("flux-schnell").price.description.endswith("; currently 150 % of that")
    assert price_book.credits(find("flux-dev"), find("flux-dev").read({"prompt": "a fox"})) == 25


def test_an_entry_takes_effect_at_its_time() -> None:
    write(percent=200, effective_from=timezone.now() + SOON)

    assert price_book.credits(find("flux-schnell"), FOX) == 3
    assert price_book.next_change("flux-schnell") == PriceBookEntry.objects.get().effective_from


def test_the_entry_with_the_latest_beginning_applies_whichever_was_written_last() -> None:
    now = timezone.now()
    in_force_since(now - SOON, percent=200)
    in_force_since(now - 2 * SOON, percent=300)

    assert price_book.terms_of("flux-schnell") == price_book.all_terms()["flux-schnell"] == Terms(percent=200)


def test_an_entry_without_a_percentage_restores_the_list_price() -> None:
    write(percent=200)
    write(percent=None)

    assert price_book.credits(find("flux-schnell"), FOX) == 3


def test_an_entry_in_the_past_or_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="in the past"):
        write(percent=200, effective_from=timezone.now() - SOON)
    with pytest.raises(UnknownModel, match="dall-e"):
        write("dall-e", percent=200)

    assert not PriceBookEntry.objects.exists()


@pytest.mark.parametrize(
    "change", [lambda: PriceBookEntry.objects.update(percent=1), PriceBookEntry.objects.all().delete]
)
def test_an_entry_cannot_be_changed_or_deleted(change: Any) -> None:
    entry = write(percent=200)

    with pytest.raises(DatabaseError, match="never changed or deleted"), transaction.atomic():
        change()

    assert PriceBookEntry.objects.get(pk=entry.pk).percent == 200


# --- Ordering ---


def test_an_order_costs_the_present_price_and_records_the_list_price(order: PlaceOrder, alice: Account) -> None:
    write(percent=150)

    generation = order()

    alice.refresh_from_db()
    assert (generation.credits, generation.list_price_millidollars, alice.held) == (5, 3, 5)


def test_a26_an_order_keeps_its_price_when_the_price_book_changes(
    order: PlaceOrder, fal: Simulator, work: Work
) -> None:
    generation = order()
    write(percent=1000)

    assert work.until_done(generation).captured == 3


def test_an_order_has_one_price_even_if_the_price_book_changes_meanwhile(alice: Account) -> None:
    """The price book is read once, so what is compared with a limit, held and recorded is the same number."""
    order = order_of()
    assert order.credits == 3
    write(percent=1000)

    generation, *_ = lifecycle.order(alice, order, actor="test")

    alice.refresh_from_db()
    assert generation.credits == alice.held == 3


def test_reading_the_price_book_twice_would_give_two_prices(alice: Account) -> None:
    """Negative control."""
    before = price_book.credits(find("flux-schnell"), FOX)
    write(percent=1000)

    assert price_book.credits(find("flux-schnell"), FOX) != before


def test_a_model_that_is_not_offered_cannot_be_ordered(alice: Account) -> None:
    write(offered=False)

    with pytest.raises(NotOffered, match="“flux-schnell” is not offered at present"):
        lifecycle.order(alice, order_of(), actor="test")

    alice.refresh_from_db()
    assert (alice.held, Generation.objects.count()) == (0, 0)


def test_a_generation_is_completed_after_its_model_was_withdrawn(order: PlaceOrder, fal: Simulator, work: Work) -> None:
    generation = order()
    write(offered=False)

    assert work.until_done(generation).status == "completed"


# --- The API and the pages ---


@pytest.fixture
def api(alice: Account) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {api_keys.issue(alice.user, 'test').plain}")
    return client


ORDER = {"model": "flux-schnell", "input": {"prompt": "a fox"}}


def test_a_model_that_is_not_offered_is_not_listed_and_not_found(api: APIClient) -> None:
    write(offered=False)

    listed = {model["slug"] for model in api.get("/api/v1/models/").data["results"]}
    answers = [
        api.get("/api/v1/models/flux-schnell/"),
        api.post("/api/v1/quotes/", ORDER),
        api.post("/api/v1/generations/", ORDER),
    ]

    assert listed == set(MODELS) - {"flux-schnell"}
    assert [(answer.status_code, answer.data["code"]) for answer in answers] == [(404, "model_not_found")] * 3
    assert answers[2].data["detail"] == "“flux-schnell” is not offered at present."


def test_quotes_and_max_credits_use_the_present_price(api: APIClient) -> None:
    write(percent=1000)

    quote = api.post("/api/v1/quotes/", ORDER).data
    refused = api.post("/api/v1/generations/", {**ORDER, "max_credits": 29})

    assert quote["credits"] == 30
    assert (refused.status_code, refused.data["code"], refused.data["needed"]) == (402, "max_credits_exceeded", 30)
    assert "1000 %" in api.get("/api/v1/models/flux-schnell/").data["price"]


def test_a_quote_is_valid_until_the_price_changes(api: APIClient) -> None:
    entry = write(percent=200, effective_from=timezone.now() + timedelta(minutes=5))

    assert api.post("/api/v1/quotes/", ORDER).data["valid_until"] == entry.effective_from.isoformat().replace(
        "+00:00", "Z"
    )


def test_the_list_of_models_reads_the_price_book_in_one_query(api: APIClient, django_assert_num_queries: Any) -> None:
    for slug in MODELS:
        write(slug, percent=110)
    api.get("/api/v1/models/")

    with django_assert_num_queries(1):
        assert len(price_book.offered()) == len(MODELS)


def test_the_pages_show_present_prices_and_only_offered_models(client: Client, alice: Account) -> None:
    write(percent=1000)
    write("flux-dev", offered=False)
    client.force_login(alice.user)

    assert "currently 1000 % of that" in client.get("/models/").text
    assert "/new/flux-dev/" not in client.get("/models/").text
    assert client.get("/new/flux-dev/").status_code == 404
    assert '<span class="amount">30</span>' in client.post("/new/flux-schnell/price/", {"prompt": "a fox"}).text


# --- The admin ---

ENTRIES = "/admin/generations/pricebookentry/"


@pytest.fixture
def clerk(client: Client) -> Client:
    """A member of staff who may add prices."""
    user = User.objects.create_user("clerk", is_staff=True)
    codenames = ["view_pricebookentry", "add_pricebookentry"]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def test_staff_add_an_entry_and_are_recorded_as_its_actor(clerk: Client) -> None:
    # As a browser sends it: empty fields included.
    form = {"model": "flux-schnell", "percent": "120", "offered": "on", "note": "the dollar"}
    form |= {"effective_from_0": "", "effective_from_1": ""}

    assert clerk.post(f"{ENTRIES}add/", form).status_code == 302

    entry = PriceBookEntry.objects.get()
    assert (entry.percent, entry.offered, entry.actor, entry.note) == (120, True, "staff:clerk", "the dollar")
    assert price_book.credits(find("flux-schnell"), FOX) == 4


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"percent": "10001"}, "less than or equal to 10000"),
        ({"percent": "-1"}, "greater than or equal to 0"),
        ({"model": "dall-e"}, "Select a valid choice"),
        ({"effective_from_0": "2020-01-01", "effective_from_1": "00:00"}, "cannot change in the past"),
    ],
)
def test_a_wrong_entry_is_refused_with_a_message(clerk: Client, wrong: dict[str, str], message: str) -> None:
    form = {"model": "flux-schnell", "percent": "120", "offered": "on"} | wrong

    assert message in clerk.post(f"{ENTRIES}add/", form).text
    assert not PriceBookEntry.objects.exists()


def test_an_entry_can_be_viewed_but_neither_changed_nor_deleted(clerk: Client) -> None:
    entry = write(percent=120)

    assert clerk.get(f"{ENTRIES}{entry.pk}/change/").status_code == 200
    assert clerk.post(f"{ENTRIES}{entry.pk}/change/", {"percent": "1"}).status_code == 403
    assert clerk.post(f"{ENTRIES}{entry.pk}/delete/").status_code == 403


def test_without_the_permission_there_is_no_form(client: Client) -> None:
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_pricebookentry"))
    client.force_login(user)

    assert client.get(f"{ENTRIES}add/").status_code == 403
