"""Prompts are words, never code; and pages run nothing that Limn did not ship."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client
from django.utils.html import escape

from tests.fixtures.pages import Place, page_of
from tests.generations.pages.test_forms import typed
from tests.helpers.attack_strings import ATTACKS, LIVE
from tests.helpers.source import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_shown_as_it_was_typed(browser_of_alice: Client, order: Place, attack: str) -> None:
    generation = order(prompt=attack)
    addresses = ["/", page_of(generation), page_of(generation, "generation-status"), "/credits/"]
    addresses.append(f"/new/flux-schnell/?like={generation.pk}")

    pages = [browser_of_alice.get(address).text for address in addresses]
    pages.append(browser_of_alice.post("/new/flux-schnell/", typed("flux-schnell", prompt=attack, seed=attack)).text)

    assert [word for word in LIVE for page in pages if word in page] == []
    assert [escape(attack) in page for page in pages] == [True, True, False, False, True, True]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_address_is_no_place_for_code_either(client: Client, db: None, attack: str) -> None:
    pages = [client.get("/login/", {"next": attack}).text, client.post("/login/", {"username": attack}).text]

    assert [word for word in LIVE for page in pages if word in page] == []


def test_after_logging_in_nobody_is_sent_away(client: Client, alice) -> None:
    login = {"username": "alice", "password": "correct horse", "next": "https://example.com/"}

    assert client.post("/login/", login).headers["Location"] == "/"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_has_code_or_style_of_its_own(template: Path) -> None:
    text = template.read_text()

    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|hx-on|<script(?![^>]*src=)", text) == []
    assert "|safe" not in text


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_loads_anything_from_elsewhere(template: Path) -> None:
    assert re.findall(r"(?:src|href)=\"(?:https?:)?//", template.read_text()) == []


@pytest.mark.parametrize("address", ["/", "/models/", "/new/tripo-v2.5/", "/credits/", "/nothing-here/"])
def test_the_policy_lets_in_nothing_from_elsewhere(browser_of_alice: Client, address: str) -> None:
    policy = browser_of_alice.get(address).headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_every_vendored_file_has_its_licence() -> None:
    vendored = ROOT / "static/vendor"
    notes = (vendored / "LICENSES.md").read_text()

    assert all((folder / "LICENSE").exists() for folder in vendored.iterdir() if folder.is_dir())
    assert all(folder.name in notes for folder in vendored.iterdir() if folder.is_dir())


def test_an_unknown_address_is_a_page_of_ours(client: Client, db: None) -> None:
    answer = client.get("/nothing-here/")

    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
