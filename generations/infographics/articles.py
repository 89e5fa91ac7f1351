"""Reads the article of a web page that a customer names: fetched safely, and extracted in a process of its own.

ArticleError
├── PageUnreachable   the page cannot be fetched: its URL, its server or its size
└── NoArticle         the page contains no article, or cannot be parsed
"""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from generations.infographics import article_process
from generations.infographics.article_process import PAGE_BYTES_MAX
from generations.safe_http import client as http_client

FETCH_SECONDS_MAX = 8.0
# Of blogs: from http to https, to the host with or without www, and to a new address.
REDIRECTS_MAX = 3
READ_SECONDS_MAX = 6
# How much may follow the end of a page: comments of the program that has made it.
END_BYTES_MAX = 4096
ARTICLE_CHARACTERS_MAX = 100_000
ARTICLE_CHARACTERS_MIN = 80
TITLE_CHARACTERS_MAX = 300
_ROOT = Path(__file__).resolve().parents[2]


class ArticleError(Exception):
    """The article cannot be read. The message says why, for the customer."""


class PageUnreachable(ArticleError):
    """The page cannot be fetched."""


class NoArticle(ArticleError):
    """The page contains no article, or cannot be parsed."""


@dataclass(frozen=True, kw_only=True)
class Article:
    """The title and the text of a page, as plain words without markup."""

    title: str
    text: str
    """Paragraphs, separated by newlines."""


def read(url: str) -> Article:
    """Fetch a page and extract its article. Follows up to REDIRECTS_MAX redirects, each checked like the first URL.

    Takes FETCH_SECONDS_MAX for each request and READ_SECONDS_MAX for the extraction at most. A page whose end its
    server does not mark takes one or two requests more.

    Raises:
        PageUnreachable, NoArticle.
    """

    def fetch(url: str) -> bytes:
        file, hosts = io.BytesIO(), settings.PAGE_HOSTS
        fetched = http_client.fetch(url, file, hosts=hosts, bytes_max=PAGE_BYTES_MAX, seconds_max=FETCH_SECONDS_MAX)
        page = file.getvalue()
        # A page that ended with its connection may have been cut off in the middle of the article.
        if (
            not fetched.end_is_marked
            and b"</html>" not in page[-END_BYTES_MAX:].lower()
            and not http_client.is_whole(url, len(page), hosts=hosts, seconds_max=FETCH_SECONDS_MAX)
        ):
            raise http_client.TryLater("the connection was closed before the end of the page")
        return page

    try:
        page = http_client.follow_redirects(url, fetch, redirects_max=REDIRECTS_MAX)
    except http_client.FetchError as error:
        raise PageUnreachable(f"The page could not be fetched: {error}.") from error
    return extract(page)


def extract(page: bytes) -> Article:
    """Return the article in the HTML of a page. Raises NoArticle."""
    try:
        ran = subprocess.run(
            [sys.executable, "-m", article_process.__name__, str(READ_SECONDS_MAX)],
            input=page,
            capture_output=True,
            timeout=READ_SECONDS_MAX,
            cwd=_ROOT,
            env={},  # It needs none of Limn's keys and passwords.
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise NoArticle("The page could not be read: it took too much time or memory.") from error
    title, _, text = ran.stdout.decode(errors="replace").partition("\n")
    # A consent banner or an error message is shorter than any article.
    if len(text) < ARTICLE_CHARACTERS_MIN:
        raise NoArticle("No article was found on the page.")
    return Article(title=title[:TITLE_CHARACTERS_MAX], text=text[:ARTICLE_CHARACTERS_MAX])
