"""What staff ask for a model, from when on; and that an order keeps the price it was given."""

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
from generations.ordering import orders, price_book
from generations.ordering.orders import Order
from generations.ordering.price_book import NotOffered, Terms
from simulator import Simulator
from tests.fixtures.orders import Ordering
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db
FOX = find("flux-schnell").read({"prompt": "a fox"})
SOON = timedelta(hours=1)


def write(slug: str = "flux-schnell", **details: Any) -> PriceBookEntry:
    return price_book.write(slug, actor="test", **details)


def in_force_since(moment: datetime, **details: Any) -> PriceBookEntry:
    """As if it had been written before that moment."""
    return PriceBookEntry.objects.create(model="flux-schnell", effective_from=moment, actor="test", **details)


def wish(slug: str = "flux-schnell") -> orders.Order:
    asked = {"prompt": "a fox"}
    return Order(model=find(slug), inputs=find(slug).read(asked), raw_input=asked)


# --- The book ---


def test_without_an_entry_the_declared_price_is_asked() -> None:
    assert price_book.credits(find("flux-schnell"), FOX) == 3
    assert price_book.terms_of("flux-schnell") == Terms(percent=100, offered=True)


def test_a_share_of_the_declared_price_is_rounded_up() -> None:
    write(percent=150)

    assert price_book.credits(find("flux-schnell"), FOX) == 5
    assert price_book.find("flux-schnell").price.description.endswith("; currently 150 % of that")
    assert price_book.credits(find("flux-dev"), find("flux-dev").read({"prompt": "a fox"})) == 25


def test_an_entry_counts_from_its_moment_on() -> None:
    write(percent=200, effective_from=timezone.now() + SOON)

    assert price_book.credits(find("flux-schnell"), FOX) == 3
    assert price_book.next_change("flux-schnell") == PriceBookEntry.objects.get().effective_from


def test_of_those_that_have_begun_the_newest_counts_whatever_was_written_last() -> None:
    now = timezone.now()
    in_force_since(now - SOON, percent=200)
    in_force_since(now - 2 * SOON, percent=300)

    assert price_book.terms_of("flux-schnell") == price_book.all_terms()["flux-schnell"] == Terms(percent=200)


def test_an_empty_percentage_goes_back_to_the_declared_price() -> None:
    write(percent=200)
    write(percent=None)

    assert price_book.credits(find("flux-schnell"), FOX) == 3


def test_a_price_cannot_change_in_the_past_nor_that_of_no_model() -> None:
    with pytest.raises(ValueError, match="in the past"):
        write(percent=200, effective_from=timezone.now() - SOON)
    with pytest.raises(UnknownModel, match="dall-e"):
        write("dall-e", percent=200)

    assert not PriceBookEntry.objects.exists()


@pytest.mark.parametrize(
    "change", [lambda: PriceBookEntry.objects.update(percent=1), PriceBookEntry.objects.all().delete]
)
def test_what_was_asked_once_stays_written(change: Any) -> None:
    entry = write(percent=200)

    with pytest.raises(DatabaseError, match="never changed or deleted"), transaction.atomic():
        change()

    assert PriceBookEntry.objects.get(pk=entry.pk).percent == 200


# --- Ordering ---


def test_an_order_costs_what_the_book_asks_and_fal_should_bill_what_is_declared(
    order: Ordering, alice: Account
) -> None:
    write(percent=150)

    generation = order()

    alice.refresh_from_db()
    assert (generation.credits, generation.list_price_millidollars, alice.held) == (5, 3, 5)


def test_an_order_keeps_its_price_whatever_the_book_says_later(order: Ordering, fal: Simulator, work: Work) -> None:
    """A26."""
    generation = order()
    write(percent=1000)

    assert work.to_the_end(generation).captured == 3


def test_a_price_that_changes_while_one_orders_is_still_one_price(alice: Account) -> None:
    """The book is asked once: what is compared with a limit, held and frozen is the same number."""
    asked = wish()
    assert asked.credits == 3
    write(percent=1000)

    generation, _ = lifecycle.order(alice, asked, actor="test")

    alice.refresh_from_db()
    assert generation.credits == alice.held == 3


def test_without_asking_once_an_order_would_have_two_prices(alice: Account) -> None:
    """Negative control: the same two moments, each asking the book."""
    before = price_book.credits(find("flux-schnell"), FOX)
    write(percent=1000)

    assert price_book.credits(find("flux-schnell"), FOX) != before


def test_what_is_switched_off_cannot_be_ordered_and_nothing_is_held(alice: Account) -> None:
    write(offered=False)

    with pytest.raises(NotOffered, match="“flux-schnell” is not offered at present"):
        lifecycle.order(alice, wish(), actor="test")

    alice.refresh_from_db()
    assert (alice.held, Generation.objects.count()) == (0, 0)


def test_what_was_ordered_before_it_was_switched_off_is_made(order: Ordering, fal: Simulator, work: Work) -> None:
    generation = order()
    write(offered=False)

    assert work.to_the_end(generation).status == "completed"


# --- What users see ---


@pytest.fixture
def api(alice: Account) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {api_keys.issue(alice.user, 'test').plain}")
    return client


ORDER = {"model": "flux-schnell", "input": {"prompt": "a fox"}}


def test_what_is_switched_off_is_not_listed_and_said_to_be_gone(api: APIClient) -> None:
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


def test_a_quote_and_a_limit_are_at_todays_price(api: APIClient) -> None:
    write(percent=1000)

    quote = api.post("/api/v1/quotes/", ORDER).data
    refused = api.post("/api/v1/generations/", {**ORDER, "max_credits": 29})

    assert quote["credits"] == 30
    assert (refused.status_code, refused.data["code"], refused.data["needed"]) == (402, "max_credits_exceeded", 30)
    assert "1000 %" in api.get("/api/v1/models/flux-schnell/").data["price"]


def test_a_quote_ends_when_the_price_will_change(api: APIClient) -> None:
    entry = write(percent=200, effective_from=timezone.now() + timedelta(minutes=5))

    assert api.post("/api/v1/quotes/", ORDER).data["valid_until"] == entry.effective_from.isoformat().replace(
        "+00:00", "Z"
    )


def test_the_list_asks_the_book_once_however_long_it_is(api: APIClient, django_assert_num_queries: Any) -> None:
    for slug in MODELS:
        write(slug, percent=110)
    api.get("/api/v1/models/")

    with django_assert_num_queries(1):
        assert len(price_book.offered()) == len(MODELS)


def test_the_pages_show_todays_price_and_nothing_that_is_off(client: Client, alice: Account) -> None:
    write(percent=1000)
    write("flux-dev", offered=False)
    client.force_login(alice.user)

    assert "currently 1000 % of that" in client.get("/models/").text
    assert "/new/flux-dev/" not in client.get("/models/").text
    assert client.get("/new/flux-dev/").status_code == 404
    assert '<span class="amount">30</span>' in client.post("/new/flux-schnell/price/", {"prompt": "a fox"}).text


# --- Staff ---

ENTRIES = "/admin/generations/pricebookentry/"


@pytest.fixture
def clerk(client: Client) -> Client:
    """May write prices."""
    user = User.objects.create_user("clerk", is_staff=True)
    codenames = ["view_pricebookentry", "add_pricebookentry"]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def test_staff_write_an_entry_and_are_named_in_it(clerk: Client) -> None:
    # Just what a browser sends: the fields that were left empty, too.
    form = {"model": "flux-schnell", "percent": "120", "offered": "on", "note": "the dollar"}
    form |= {"effective_from_0": "", "effective_from_1": ""}

    assert clerk.post(f"{ENTRIES}add/", form).status_code == 302

    entry = PriceBookEntry.objects.get()
    assert (entry.percent, entry.offered, entry.actor, entry.note) == (120, True, "staff:clerk", "the dollar")
    assert price_book.credits(find("flux-schnell"), FOX) == 4


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"percent": "10001"}, "less than or equal to 10000"),
        ({"percent": "-1"}, "greater than or equal to 0"),
        ({"model": "dall-e"}, "Select a valid choice"),
        ({"effective_from_0": "2020-01-01", "effective_from_1": "00:00"}, "cannot change in the past"),
    ],
)
def test_a_wrong_entry_is_refused_with_a_reason(clerk: Client, wrong: dict[str, str], said: str) -> None:
    form = {"model": "flux-schnell", "percent": "120", "offered": "on"} | wrong

    assert said in clerk.post(f"{ENTRIES}add/", form).text
    assert not PriceBookEntry.objects.exists()


def test_an_entry_is_looked_at_and_neither_changed_nor_deleted(clerk: Client) -> None:
    entry = write(percent=120)

    assert clerk.get(f"{ENTRIES}{entry.pk}/change/").status_code == 200
    assert clerk.post(f"{ENTRIES}{entry.pk}/change/", {"percent": "1"}).status_code == 403
    assert clerk.post(f"{ENTRIES}{entry.pk}/delete/").status_code == 403


def test_who_may_not_write_prices_finds_no_form(client: Client) -> None:
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_pricebookentry"))
    client.force_login(user)

    assert client.get(f"{ENTRIES}add/").status_code == 403
