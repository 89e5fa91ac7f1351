"""The admin in a browser, under the content security policy of the pages."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from credits.models import Account
from tests.end_to_end.browser.test_pages import place_order

pytestmark = pytest.mark.once


def test_the_admin_requires_a_login(page: Page) -> None:
    page.goto("/admin/")

    expect(page).to_have_title("Log in | Limn")
    assert page.url.endswith("/admin/login/?next=/admin/")


def test_staff_grant_credits_and_cancel_a_generation(alices_page: Page, alice: User) -> None:
    generation, account = place_order(alice, prompt="a fox"), Account.objects.for_user(alice)
    alices_page.goto(f"/admin/credits/account/{account.pk}/grant/")
    alices_page.get_by_label("Amount").fill("50")
    alices_page.get_by_label("Reason").fill("a birthday")
    alices_page.get_by_role("button", name="Grant credits").click()
    expect(alices_page.get_by_text("Grant of +50 credits: a birthday")).to_be_visible()

    alices_page.goto(f"/admin/generations/generation/{generation.pk}/change/")
    alices_page.get_by_role("button", name="Cancel").click()

    expect(alices_page.locator(".badge.failed")).to_have_text("failed · cancelled")
