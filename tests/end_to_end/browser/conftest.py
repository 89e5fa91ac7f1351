"""A browser for the tests of this folder, and Alice, a superuser with 1,000 credits, in a window of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from credits import ledger
from credits.models import Account
from generations.provider import clients
from simulator import Simulator
from tests.services.chromium import chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def close_fal_clients() -> Iterator[None]:
    """Closes the connections to fal after each test."""
    yield
    clients.close()


@pytest.fixture
def page(browser: Browser, live_limn: LiveServer) -> Iterator[Page]:
    """A new window without cookies; `page.goto("/")` opens Limn. An error of a script fails the test."""
    context = browser.new_context(base_url=live_limn.url, locale="en-GB")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert errors == []


@pytest.fixture
def alice(live_limn: LiveServer, fal: Simulator) -> User:
    user = User.objects.create_superuser("alice", password="correct horse")
    ledger.grant(Account.objects.for_user(user), 1000, key="alice:start", actor="test", reason="welcome")
    return user


@pytest.fixture
def console_errors(page: Page) -> Iterator[list[str]]:
    """The errors in the browser's console, such as violations of the content security policy. There must be none."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    yield found
    assert found == []


@pytest.fixture
def alices_page(page: Page, alice: User, console_errors: list[str]) -> Page:
    """A window in which Alice is logged in."""
    log_in(page)
    return page


def log_in(page: Page) -> None:
    """Logs Alice in through the form."""
    page.goto("/login/")
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
