"""The prompt of an infographic: a template, with an article as material that cannot become an instruction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.infographics import articles, prompts
from generations.infographics.articles import Article

pytestmark = pytest.mark.once
LINE = "-----"


def test_without_a_page_the_prompt_is_the_request_in_the_template() -> None:
    assert prompts.build_prompt("tea") == prompts.TEMPLATE.format(request="tea")


@given(request=st.text(max_size=2000), title=st.text(max_size=300), text=st.text(max_size=9000))
def test_any_article_fits_and_imitates_no_line(request: str, title: str, text: str) -> None:
    prompt = prompts.build_prompt(request, Article(title=title, text=text))

    assert len(prompt) <= prompts.PROMPT_CHARACTERS_MAX
    assert prompt.count(LINE) - request.count(LINE) == 2
    assert prompt.endswith("----- end of the article")


def test_a_long_article_is_cut_after_a_sentence() -> None:
    prompt = prompts.build_prompt("tea", Article(title="Tea", text="Tea is a drink. " * 1000))

    assert prompt.endswith("Tea is a drink.\n----- end of the article")


def test_braces_have_no_meaning() -> None:
    assert "{title}" in prompts.build_prompt("{title}", Article(title="{request}", text="{text}"))


@pytest.mark.slow
def test_a_page_that_needs_too_much_memory_ends_only_the_process_that_parses_it() -> None:
    with pytest.raises(articles.NoArticle):
        articles.extract(b"<div>" * 600_000)
