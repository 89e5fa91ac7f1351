"""The admin in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.once


def test_the_admin_asks_who_is_there(page: Page) -> None:
    page.goto("/admin/")

    expect(page).to_have_title("Log in | Limn")
    assert page.url.endswith("/admin/login/?next=/admin/")
