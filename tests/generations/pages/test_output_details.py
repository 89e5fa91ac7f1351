"""What came beside the files, as its owner reads it on the page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from generations import lifecycle
from generations.models import Generation
from generations.pages.details import COLUMNS_MAX, Detail, details_in_words
from tests.fixtures.pages import Place, page_of
from tests.helpers.attack_strings import ATTACKS, LIVE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def saying(order: Place) -> Any:
    """`saying(seed=42)`: an order of Alice's, as if fal had said so."""

    def place(**details: Any) -> Generation:
        Generation.objects.filter(pk=(generation := order()).pk).update(details=details)
        return generation

    return place


def said_on(page: str) -> str:
    """The words of that part of the page."""
    part = page.partition("What came with it</h2>")[2].partition("</section>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", part).split())


def test_the_seed_stands_on_the_page(browser_of_alice: Client, finished: Place) -> None:
    generation = finished(prompt="a fox", seed=42)

    assert said_on(browser_of_alice.get(page_of(generation)).text) == "Seed 42"


def test_the_words_of_a_speech_are_a_table(browser_of_alice: Client, finished: Place) -> None:
    generation = finished("eleven-v3", text="Hello, fox.", timestamps=True)

    said = said_on(browser_of_alice.get(page_of(generation)).text)

    assert said == "Timestamps Text Start End Hello, 0.0 0.4 fox. 0.467 0.733"


def test_who_watches_sees_it_come(browser_of_alice: Client, saying: Any) -> None:
    generation = saying(description="A fox,\nlooking back.", looped=True, sizes=[1, 2.5])

    said = said_on(browser_of_alice.get(page_of(generation, "generation-status")).text)

    assert said == "Description A fox, looking back. Looped yes Sizes 1 2.5"


def test_where_nothing_was_said_nothing_is_shown(browser_of_alice: Client, finished: Place, order: Place) -> None:
    erased = finished(prompt="a fox", seed=42)
    lifecycle.erase(erased, actor="user:alice")

    pages = [browser_of_alice.get(page_of(generation)).text for generation in (erased, order())]

    assert ["What came with it" in page for page in pages] == [False, False]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_of_the_models_is_shown_as_it_came(browser_of_alice: Client, saying: Any, attack: str) -> None:
    generation = saying(**{attack: attack, "rows": [{attack: attack}], "deep": {attack: [[attack]]}})

    page = browser_of_alice.get(page_of(generation)).text

    assert "What came with it" in page
    assert [word for word in LIVE if word in page] == []


@pytest.mark.once
@pytest.mark.parametrize(
    "value, shown",
    [
        ({"bpm": [120]}, {"json": '{"bpm": [120]}'}),
        ([[1, 2], ["füchse"]], {"json": '[[1, 2], ["füchse"]]'}),
        ([{"text": "a"}, None], {"json": '[{"text": "a"}, null]'}),
        ([{"end": 2, "start": 1, "text": "a"}], {"columns": ("Text", "Start", "End"), "rows": (("a", "1", "2"),)}),
        ([{"a_b": "x"}, {"c": True}], {"columns": ("A b", "C"), "rows": (("x", ""), ("", "yes"))}),
        (["a", None, False], {"words": "a\n\nno"}),
    ],
    ids=str,
)
def test_every_shape_is_said_somehow(value: Any, shown: dict[str, Any]) -> None:
    assert details_in_words({"what_is_said": value}) == [Detail(label="What is said", **shown)]


@pytest.mark.once
def test_what_is_too_wide_for_a_table_is_none() -> None:
    (shown,) = details_in_words({"rows": [{str(number): 1} for number in range(COLUMNS_MAX + 1)]})

    assert (shown.columns, shown.json[:9]) == ((), '[{"0": 1}')
