"""The statement adds up, line by line."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credits import ledger
from credits.models import Account
from generations.lifecycle import charging_rules
from generations.models import Generation, Rule
from generations.pages import statement
from simulator import Simulator
from tests.fixtures.pages import Place, page_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_hold_and_capture_are_both_to_be_seen(browser_of_alice: Client, finished: Place) -> None:
    made = finished()

    page = browser_of_alice.get("/credits/").text

    assert [page.index(word) for word in ("Charged", "Set aside<", "Credits granted")] == sorted(
        page.index(word) for word in ("Charged", "Set aside<", "Credits granted")
    )
    assert page.count(f'href="{page_of(made)}"') == 2
    assert "−3" in page
    assert "+1,000" in page


def test_every_line_says_what_was_available_after_it(alice: User, finished: Place, order: Place) -> None:
    finished()
    order(prompt="four", num_images=4)
    account = Account.objects.for_user(alice)
    entries = list(account.entries.select_related("hold").newest_first())

    lines = list(statement._lines(account, entries, Generation.objects.visible_to(alice)))

    assert [line.available for line in lines] == [985, 997, 997, 1000]
    assert lines[0].available == account.available


def test_an_older_page_counts_from_where_the_newer_ended(browser_of_alice: Client, alice: User) -> None:
    for number in range(60):
        ledger.grant(Account.objects.for_user(alice), 1, key=f"test:{number}", actor="test", reason=f"gift {number}.")

    first = browser_of_alice.get("/credits/")
    second = browser_of_alice.get(f"/credits/?before={first.context['page'].before}")

    assert first.context["lines"][-1].available - second.context["lines"][0].available == 1
    assert second.context["lines"][-1].available == 1000
    assert "gift 9." in second.text


@pytest.mark.parametrize("before", ["x", "-1", "9" * 40, "1e3"])
def test_a_bookmark_without_sense_does_no_harm(browser_of_alice: Client, before: str) -> None:
    assert browser_of_alice.get(f"/credits/?before={before}").status_code == 200


def test_who_never_had_credits_sees_none(client: Client, bob: User) -> None:
    client.force_login(bob)

    assert "Nothing has happened to these credits yet." in client.get("/credits/").text


def test_a_hold_of_something_else_has_no_link(browser_of_alice: Client, alice: User) -> None:
    for reference in ("upload:1", "generation:nonsense"):
        ledger.hold(Account.objects.for_user(alice), 1, reference=reference)

    page = browser_of_alice.get("/credits/")

    assert page.text.count("Set aside<") == 2
    assert "/generations/nonsense" not in page.text


@pytest.mark.once
def test_whoever_thinks_about_an_account_may_read_who_pays(client: Client) -> None:
    page = client.get("/charges/").text

    for clause in charging_rules.TABLE.values():
        assert clause.because in page


def test_an_order_that_was_not_delivered_whole_says_why_it_cost_what_it_cost(
    browser_of_alice: Client, fal: Simulator, finished: Place
) -> None:
    fal.script("nsfw")

    page = browser_of_alice.get(page_of(finished())).text

    assert charging_rules.TABLE[Rule.FLAGGED].because in page
    assert 'href="/charges/"' in page
