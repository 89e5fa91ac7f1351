"""The statement adds up, line by line."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits import ledger
from credits.models import Account
from generations.lifecycle import charging_rules
from generations.models import Generation, Rule
from generations.pages import labels
from generations.pages.statement import statement_lines
from simulator import Simulator
from tests.fixtures.pages import PlaceOrder, page_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_completed_order_is_reserved_and_then_charged(browser_of_alice: Client, finished: PlaceOrder) -> None:
    generation = finished()

    page = browser_of_alice.get("/credits/").text

    positions = [page.index(f">{label}</span>") for label in ("Charged", "Reserved", "Granted")]
    assert positions == sorted(positions)
    assert page.count(f'href="{page_of(generation)}"') == 2
    assert "−3" in page
    assert "+1,000" in page


def test_each_line_shows_the_available_credits_after_it(alice: User, finished: PlaceOrder, order: PlaceOrder) -> None:
    finished()
    order(prompt="four", num_images=4)
    account = Account.objects.for_user(alice)
    entries = list(account.entries.select_related("hold").newest_first())

    lines = statement_lines(entries, Generation.objects.visible_to(alice))

    assert [line.entry.available_after for line in lines] == [985, 997, 997, 1000]
    assert lines[0].entry.available_after == account.available


def test_an_older_page_continues_where_the_newer_one_ended(browser_of_alice: Client, alice: User) -> None:
    for number in range(60):
        ledger.grant(Account.objects.for_user(alice), 1, key=f"test:{number}", actor="test", reason=f"gift {number}.")

    newer = browser_of_alice.get("/credits/")
    older = browser_of_alice.get(f"/credits/?before={newer.context['page'].before}")

    assert newer.context["lines"][-1].entry.available_after - older.context["lines"][0].entry.available_after == 1
    assert older.context["lines"][-1].entry.available_after == 1000
    assert "gift 9." in older.text


def test_an_invalid_bookmark_is_not_an_error(browser_of_alice: Client) -> None:
    for before in ("x", "-1", "9" * 40, "1e3"):
        assert browser_of_alice.get(f"/credits/?before={before}").status_code == 200, before


def test_an_account_without_entries_has_an_empty_statement(client: Client, bob: User) -> None:
    client.force_login(bob)

    assert "There are no entries yet." in client.get("/credits/").text


def test_a_hold_that_is_not_for_a_generation_has_no_link(browser_of_alice: Client, alice: User) -> None:
    for reference in ("upload:1", "generation:nonsense"):
        ledger.hold(Account.objects.for_user(alice), 1, reference=reference)

    page = browser_of_alice.get("/credits/")

    assert page.text.count(">Reserved</span>") == 2
    assert "/generations/nonsense" not in page.text


@pytest.mark.once
def test_the_charging_rules_are_public(client: Client) -> None:
    page = client.get("/charges/").text

    for rule, clause in charging_rules.TABLE.items():
        assert labels.RULES[rule] in page
        assert clause.because in page


def test_a_partial_delivery_names_the_charging_rule(
    browser_of_alice: Client, fal: Simulator, finished: PlaceOrder
) -> None:
    fal.script("nsfw")

    page = browser_of_alice.get(page_of(finished())).text

    assert charging_rules.TABLE[Rule.FLAGGED].because in page
    assert 'href="/charges/"' in page
