"""Prompts are shown as text, never as markup, and pages run and load nothing that Limn does not ship."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.html import escape

from quality.structure.source import ROOT
from tests.fixtures.pages import PlaceOrder, page_of
from tests.generations.pages.test_forms import typed
from tests.helpers.attack_strings import ATTACKS, LIVE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
TEMPLATES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "templates").rglob("*.html"))}


@pytest.mark.parametrize("attack", ATTACKS)
def test_markup_in_a_prompt_is_escaped(browser_of_alice: Client, order: PlaceOrder, attack: str) -> None:
    generation = order(prompt=attack)
    with_prompt = ["/", page_of(generation), f"/new/flux-schnell/?like={generation.pk}"]
    without_prompt = [page_of(generation, "generation-status"), "/credits/"]

    pages = [browser_of_alice.get(url).text for url in [*with_prompt, *without_prompt]]
    pages.append(browser_of_alice.post("/new/flux-schnell/", typed("flux-schnell", prompt=attack, seed=attack)).text)

    assert [markup for markup in LIVE for page in pages if markup in page] == []
    assert [escape(attack) in page for page in pages] == [True, True, True, False, False, True]


def test_markup_in_the_login_form_is_escaped(client: Client, db: None) -> None:
    for attack in ATTACKS:
        pages = [client.get("/login/", {"next": attack}).text, client.post("/login/", {"username": attack}).text]

        assert [markup for markup in LIVE for page in pages if markup in page] == [], attack


def test_the_login_redirects_to_no_other_site(client: Client, alice: User) -> None:
    login = {"username": "alice", "password": "correct horse", "next": "https://example.com/"}

    assert client.post("/login/", login).headers["Location"] == "/"


def test_no_template_contains_inline_code_or_styles() -> None:
    inline = r"<style|\sstyle=|\son\w+=|javascript:|hx-on|<script(?![^>]*src=)|\|safe"

    assert {path: found for path, text in TEMPLATES.items() if (found := re.findall(inline, text))} == {}


def test_no_template_refers_to_another_host() -> None:
    foreign = r"(?:src|href)=\"(?:https?:)?//"

    assert [path for path, text in TEMPLATES.items() if re.search(foreign, text)] == []


def test_the_content_security_policy_allows_no_other_host(browser_of_alice: Client) -> None:
    for url in ("/", "/models/", "/new/tripo-v2.5/", "/credits/", "/no-such-page/"):
        policy = browser_of_alice.get(url).headers["Content-Security-Policy"]

        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


def test_every_vendored_library_has_its_licence() -> None:
    vendored: Path = ROOT / "static/vendor"
    notes = (vendored / "LICENSES.md").read_text()

    for folder in filter(Path.is_dir, vendored.iterdir()):
        assert (folder / "LICENSE").exists()
        assert folder.name in notes


def test_an_unknown_url_shows_the_error_page_of_limn(client: Client, db: None) -> None:
    response = client.get("/no-such-page/")

    assert response.status_code == 404
    assert "Page not found" in response.text
