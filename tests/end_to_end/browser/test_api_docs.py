"""The pages of the API's document, in a browser under our content security policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

pytestmark = pytest.mark.once


def test_the_document_can_be_read_and_breaks_no_policy(page: Page) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(_said(message)))

    page.goto("/api/v1/docs/")

    expect(page.locator(".info .title")).to_contain_text("Limn")
    expect(page.locator("#operations-generations-create_generation")).to_be_visible()
    assert [complaint for complaint in complaints if complaint.startswith("error")] == []


def _said(message: ConsoleMessage) -> str:
    return f"{message.type}: {message.text}"
