"""`make docs` builds the site in strict mode, and its pages load nothing from another host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from quality.structure.source import ROOT

pytestmark = pytest.mark.once

LOADING = {
    "script": "src",
    "img": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
}


class LoadedAddresses(HTMLParser):
    """Collects the addresses that a browser loads together with a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if (address := values.get(LOADING.get(tag, ""))) and values.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(address)
        # The generator would load the library for diagrams from a public host.
        if "mermaid" in (values.get("class") or "").split():
            self.found.append("https://mermaid")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    sources = {str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")}
    start = (site / "index.html").read_text()

    assert sources - {str(path.relative_to(site)) for path in site.rglob("*.html")} == set()
    assert [page for page in sources - {"index.html"} if f'href="./{page}"' not in start] == []
    assert (site / "nginx.conf").exists()


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loaded = {address for page in site.rglob("*.html") for address in LoadedAddresses(page.read_text()).found}
    styles = {
        address
        for style in site.rglob("*.css")
        for address in re.findall(r"(?:url\(|@import )['\"]?([^'\")]+)", style.read_text())
    }

    assert len(loaded) > 5
    assert {address for address in loaded | styles if re.match(r"(?:https?:)?//", address)} == set()


def test_every_relative_link_of_the_site_leads_to_a_file(site: Path) -> None:
    links = [
        (page, unquote(link.partition("#")[0]))
        for page in site.rglob("*.html")
        for link in re.findall(r'<a [^>]*href="([^"]*)"', page.read_text())
        if not re.match(r"(?:https?:)?//|[#/]|$", link)
    ]

    assert len(links) > 100
    assert {f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()} == set()
