"""The details of a generation (what the model returned beside the files) on its page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from generations import lifecycle
from generations.models import Generation
from generations.pages.details import COLUMNS_MAX, Detail, describe
from tests.fixtures.pages import PlaceOrder, page_of
from tests.helpers.attack_strings import ATTACKS, LIVE

pytestmark = pytest.mark.django_db(transaction=True)
HEADING = "Details</h2>"


@pytest.fixture
def with_details(order: PlaceOrder) -> Any:
    """`with_details(seed=42)` is an order of Alice with these details."""

    def place(**details: Any) -> Generation:
        generation = order()
        Generation.objects.filter(pk=generation.pk).update(details=details)
        return generation

    return place


def details_on(page: str) -> str:
    """The text of the section "Details"."""
    section = page.partition(HEADING)[2].partition("</section>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", section).split())


def test_the_page_shows_the_seed(browser_of_alice: Client, finished: PlaceOrder) -> None:
    generation = finished(prompt="a fox", seed=42)

    assert details_on(browser_of_alice.get(page_of(generation)).text) == "Seed 42"


def test_the_words_of_a_speech_are_shown_as_a_table(browser_of_alice: Client, finished: PlaceOrder) -> None:
    generation = finished("eleven-v3", text="Hello, fox.", timestamps=True)

    text = details_on(browser_of_alice.get(page_of(generation)).text)

    assert text == "Timestamps Text Start End Hello, 0.0 0.4 fox. 0.467 0.733"


def test_the_polled_fragment_shows_the_details(browser_of_alice: Client, with_details: Any) -> None:
    generation = with_details(description="A fox,\nlooking back.", looped=True, sizes=[1, 2.5])

    text = details_on(browser_of_alice.get(page_of(generation, "generation-status")).text)

    assert text == "Description A fox, looking back. Looped yes Sizes 1 2.5"


def test_without_details_there_is_no_section(browser_of_alice: Client, finished: PlaceOrder, order: PlaceOrder) -> None:
    erased = finished(prompt="a fox", seed=42)
    lifecycle.erase(erased, actor="user:alice")

    pages = [browser_of_alice.get(page_of(generation)).text for generation in (erased, order())]

    assert [HEADING in page for page in pages] == [False, False]


def test_markup_in_details_is_escaped(browser_of_alice: Client, with_details: Any) -> None:
    for attack in ATTACKS:
        generation = with_details(**{attack: attack, "rows": [{attack: attack}], "deep": {attack: [[attack]]}})

        page = browser_of_alice.get(page_of(generation)).text

        assert HEADING in page
        assert [markup for markup in LIVE if markup in page] == [], attack


@pytest.mark.once
@pytest.mark.parametrize(
    "value, shown",
    [
        ({"bpm": [120]}, {"json": '{"bpm": [120]}'}),
        ([[1, 2], ["füchse"]], {"json": '[[1, 2], ["füchse"]]'}),
        ([{"text": "a"}, None], {"json": '[{"text": "a"}, null]'}),
        ([{"end": 2, "start": 1, "text": "a"}], {"columns": ("Text", "Start", "End"), "rows": (("a", "1", "2"),)}),
        ([{"a_b": "x"}, {"c": True}], {"columns": ("A b", "C"), "rows": (("x", ""), ("", "yes"))}),
        (["a", None, False], {"text": "a\n\nno"}),
    ],
    ids=str,
)
def test_a_value_of_any_shape_can_be_shown(value: Any, shown: dict[str, Any]) -> None:
    assert describe({"some_value": value}) == [Detail(label="Some value", **shown)]


@pytest.mark.once
def test_a_table_that_would_be_too_wide_is_shown_as_json() -> None:
    (shown,) = describe({"rows": [{str(number): 1} for number in range(COLUMNS_MAX + 1)]})

    assert (shown.columns, shown.json[:9]) == ((), '[{"0": 1}')
