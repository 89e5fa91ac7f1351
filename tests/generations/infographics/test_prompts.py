"""The infographics' prompt: our template, with an article as material that cannot become an instruction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.infographics import articles, prompts
from generations.infographics.articles import Article

pytestmark = pytest.mark.once
LINE = "-----"


def test_without_a_page_it_is_the_wish_in_the_template() -> None:
    assert prompts.prompt("tea") == prompts.TEMPLATE.format(wish="tea")


@given(wish=st.text(max_size=2000), title=st.text(max_size=300), text=st.text(max_size=9000))
def test_whatever_the_page_says_it_fits_and_draws_no_line_of_ours(wish: str, title: str, text: str) -> None:
    prompt = prompts.prompt(wish, Article(title=title, text=text))

    assert len(prompt) <= prompts.PROMPT_CHARACTERS_MAX
    assert prompt.count(LINE) - wish.count(LINE) == 2
    assert prompt.endswith("----- end of the article")


def test_a_long_article_is_cut_where_a_sentence_ends() -> None:
    prompt = prompts.prompt("tea", Article(title="Tea", text="Tea is a drink. " * 1000))

    assert prompt.endswith("Tea is a drink.\n----- end of the article")


def test_braces_are_only_braces() -> None:
    assert "{title}" in prompts.prompt("{title}", Article(title="{wish}", text="{text}"))


@pytest.mark.slow
def test_a_page_that_takes_too_much_memory_ends_its_reader_alone() -> None:
    with pytest.raises(articles.NoArticle):
        articles.reduce(b"<div>" * 600_000)
