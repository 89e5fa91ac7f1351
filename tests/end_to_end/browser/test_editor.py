"""The editor in a real browser: pictures are chosen, ordered with, and the window is closed. Nothing is lost."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from playwright.sync_api import Browser, FilePayload, Page, expect
from pytest_django.live_server_helper import LiveServer

from generations.models import Generation
from tests.end_to_end.browser.test_pages import alice, complaints, log_in, member, tidy_connections
from tests.helpers.background_work import Work
from tests.helpers.images import picture
from tests.simulator.queue_client import get

__all__ = ["alice", "complaints", "member", "tidy_connections"]
EDIT = "/new/flux-2-edit/"


def chosen(*names: str) -> list[FilePayload]:
    return [FilePayload(name=name, mimeType="image/png", buffer=picture()) for name in names]


def test_who_closes_the_browser_finds_the_edit_done(
    member: Page, browser: Browser, live_limn: LiveServer, alice: User, fal: Any
) -> None:
    member.goto(EDIT)
    member.get_by_label("Prompt", exact=True).fill("make it snow")
    member.get_by_label("Images", exact=True).set_input_files(chosen("fox.png", "cat.png"))
    expect(member.locator("#price .amount")).to_have_text("36")
    member.locator(".price").get_by_role("button", name="Order").click()
    member.wait_for_url("**/generations/**")
    expect(member.get_by_alt_text("fox.png")).to_be_visible()
    member.context.close()

    Work().to_the_end(Generation.objects.get())

    # fal was sent addresses of Limn that anybody may fetch.
    assert [get(url).status_code for url in fal.log.accepted()[0].inputs["image_urls"]] == [200, 200]
    later = browser.new_context(base_url=live_limn.url)
    page = later.new_page()
    log_in(page)
    page.get_by_role("link", name="make it snow").click()
    expect(page.get_by_text("36 held → 36 charged")).to_be_visible()
    expect(page.get_by_role("link", name="Edit this")).to_be_visible()
    later.close()
