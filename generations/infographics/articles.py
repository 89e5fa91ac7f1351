"""What a page of the web says: fetched safely, and reduced to its article by a process that may die of it.

ArticleError
├── Unreachable   the page cannot be had: address, server or size
└── NoArticle     it is there, and holds nothing to read
"""

from __future__ import annotations

import io
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from generations.safe_http import client as http_client

PAGE_BYTES_MAX = 3 * 1024**2
FETCH_SECONDS_MAX = 8.0
REDIRECTS_MAX = 3
READ_SECONDS_MAX = 6
MEMORY_BYTES_MAX = 1024**3
ARTICLE_CHARACTERS_MAX = 100_000
ARTICLE_CHARACTERS_MIN = 80
_PROJECT = Path(__file__).resolve().parents[2]


class ArticleError(Exception):
    """The page cannot be read. The text says why, for the person who named it."""


class PageUnreachable(ArticleError):
    """It cannot be had."""


class NoArticle(ArticleError):
    """There is nothing to read in it."""


@dataclass(frozen=True, kw_only=True)
class Article:
    title: str
    text: str


def read(url: str) -> Article:
    """The article at `url`. Raises ArticleError. Bounded to about a quarter of a minute at the very worst."""
    try:
        page = _fetch(url)
    except http_client.FetchError as error:
        raise PageUnreachable(f"The page could not be fetched: {error}.") from error
    return reduce(page)


def reduce(page: bytes) -> Article:
    """The article in these bytes of HTML: its title and its paragraphs, without any markup. Raises NoArticle."""
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "generations.infographics.articles"],
            input=page,
            capture_output=True,
            timeout=READ_SECONDS_MAX,
            cwd=_PROJECT,
            env={},  # Our keys and passwords are not for it.
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise NoArticle("The page could not be read: it took too much time or memory.") from error
    title, _, text = ran.stdout.decode(errors="replace").partition("\n")
    if len(text) < ARTICLE_CHARACTERS_MIN:
        raise NoArticle("No article was found on the page.")
    return Article(title=title[:300], text=text[:ARTICLE_CHARACTERS_MAX])


def _fetch(url: str) -> bytes:
    """The bytes of the page, over as few redirects as blogs need, each checked like the first address."""

    def page_at(url: str) -> bytes:
        page = io.BytesIO()
        http_client.fetch(url, page, hosts=settings.PAGE_HOSTS, bytes_max=PAGE_BYTES_MAX, seconds_max=FETCH_SECONDS_MAX)
        return page.getvalue()

    return http_client.follow_redirects(url, page_at, redirects_max=REDIRECTS_MAX)


# --- In the process of its own ------------------------------------------------------------------------------------


def _confine() -> None:
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES_MAX,
        resource.RLIMIT_CPU: READ_SECONDS_MAX,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for what, limit in limits.items():
        resource.setrlimit(what, (limit, limit))


def _plain(text: Any) -> str:
    """Words alone: no control characters, nothing that could be taken for markup."""
    kept = "".join(c if c.isprintable() or c == "\n" else " " for c in str(text or ""))
    return re.sub(r"[ \t]+", " ", re.sub(r"[<>`{}\[\]|]", " ", kept)).strip()


def _main() -> None:
    import trafilatura  # noqa: PLC0415  Here alone: half a second of imports that nobody else needs.

    page = sys.stdin.buffer.read(PAGE_BYTES_MAX + 1)
    _confine()
    found = trafilatura.bare_extraction(
        page, include_comments=False, include_links=False, favor_precision=True, with_metadata=True
    )
    title, text = getattr(found, "title", ""), getattr(found, "text", "")
    sys.stdout.buffer.write(f"{_plain(title).replace(chr(10), ' ')}\n{_plain(text)}".encode())


if __name__ == "__main__":
    _main()
