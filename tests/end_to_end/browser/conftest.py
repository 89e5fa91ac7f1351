"""The browser, open for as long as the tests of this folder run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from tests.services.chromium import chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, live_limn: LiveServer) -> Iterator[Page]:
    """A new window of a visitor without cookies, on Limn: `page.goto("/")`. Errors of its scripts fail the test."""
    context = browser.new_context(base_url=live_limn.url, locale="en-GB")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert errors == []
