"""Every link, and every path of a source file, in the documentation leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quality.structure.source import ROOT
from tests.docs.pages import PAGES, Page

pytestmark = pytest.mark.once

# The decisions and the changelog name modules as they were called at the time.
HISTORY = ("docs/decisions/", "CHANGELOG.md")
PACKAGES = [path.parent.name for path in ROOT.glob("*/__init__.py")]
SOURCE_PATH = re.compile(rf"(?:{'|'.join([*PACKAGES, 'docs', 'static', 'templates'])})/[\w./*-]*")
PAGE_IN_CODE = re.compile(r"docs/[\w./-]+\.(?:md|conf|png|svg)")


def broken_link(page: Page, link: str) -> str:
    """Describe what is wrong with a relative link; empty when nothing is."""
    address, _, anchor = link.partition("#")
    target = (page.path.parent / address).resolve() if address else page.path
    if not target.exists():
        return f"{page.name}: {link} does not exist"
    if anchor and anchor not in Page(target).anchors:
        return f"{page.name}: {link} has no such heading"
    return ""


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    links = [(page, link) for page in PAGES for link in page.links if "://" not in link]

    assert len(links) > 60
    assert [fault for page, link in links if (fault := broken_link(page, link))] == []


def test_a_link_to_a_missing_heading_is_detected() -> None:
    (readme,) = [page for page in PAGES if page.name == "README.md"]

    assert broken_link(readme, "docs/settings.md#files") == ""
    assert broken_link(readme, "docs/settings.md#nothing") != ""
    assert broken_link(readme, "docs/nothing.md") != ""


def test_every_source_path_in_the_documentation_exists() -> None:
    paths = {
        (page.name, span)
        for page in PAGES
        if not page.name.startswith(HISTORY)
        for span in page.code_spans
        if SOURCE_PATH.fullmatch(span)
    }

    assert len(paths) > 30
    assert [f"{page}: {path}" for page, path in sorted(paths) if not list(ROOT.glob(path.rstrip("/")))] == []


def test_every_page_that_the_code_refers_to_exists() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path != Path(__file__)]
    sources = [*modules, ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / ".env.example"]
    named = {
        (str(source.relative_to(ROOT)), page) for source in sources for page in PAGE_IN_CODE.findall(source.read_text())
    }

    assert [f"{source}: {page}" for source, page in sorted(named) if not (ROOT / page).exists()] == []


def test_every_page_is_reachable_from_the_start_page() -> None:
    start = (ROOT / "docs/index.md").read_text()
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md") if path.name != "index.md"]

    assert [page for page in pages if f"]({page})" not in start] == []


def test_the_code_names_pages_with_their_folder() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path != Path(__file__)]
    names = re.compile(r"fal-facts|(?<!docs/)\bfailure-modes\.md")

    assert [str(path.relative_to(ROOT)) for path in modules if names.search(path.read_text())] == []
