"""The interactive API documentation in a browser, under Limn's content security policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.once


def test_the_documentation_is_rendered_without_errors(page: Page, console_errors: list[str]) -> None:
    page.goto("/api/v1/docs/")

    expect(page.locator(".info .title")).to_contain_text("Limn")
    expect(page.locator("#operations-generations-create_generation")).to_be_visible()
