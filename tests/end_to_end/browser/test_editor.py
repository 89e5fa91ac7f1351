"""Editing images in a browser: upload them, order, close the window, and find the result later."""

from __future__ import annotations

from django.contrib.auth.models import User
from playwright.sync_api import Browser, FilePayload, Page, expect
from pytest_django.live_server_helper import LiveServer

from generations.models import Generation
from simulator import Simulator
from tests.end_to_end.browser.conftest import log_in
from tests.helpers.background_work import Work
from tests.helpers.images import picture
from tests.simulator.queue_client import get


def image_files(*names: str) -> list[FilePayload]:
    return [FilePayload(name=name, mimeType="image/png", buffer=picture()) for name in names]


def test_an_edit_continues_after_the_browser_is_closed(
    alices_page: Page, browser: Browser, live_limn: LiveServer, alice: User, fal: Simulator
) -> None:
    order_an_edit(alices_page)
    alices_page.context.close()

    Work().until_done(Generation.objects.get())

    # fal received URLs of Limn, and can fetch them without logging in.
    assert [get(url).status_code for url in fal.log.accepted()[0].inputs["image_urls"]] == [200, 200]
    later = browser.new_context(base_url=live_limn.url)
    page = later.new_page()
    log_in(page)
    page.get_by_role("link", name="make it snow").click()
    expect(page.get_by_text("36 reserved → 36 charged")).to_be_visible()
    expect(page.get_by_role("link", name="Edit this")).to_be_visible()
    later.close()


def order_an_edit(page: Page) -> None:
    page.goto("/new/flux-2-edit/")
    page.get_by_label("Prompt", exact=True).fill("make it snow")
    page.get_by_label("Images", exact=True).set_input_files(image_files("fox.png", "cat.png"))
    expect(page.locator("#price .amount")).to_have_text("36")
    page.locator(".price").get_by_role("button", name="Generate").click()
    page.wait_for_url("**/generations/**")
    expect(page.get_by_alt_text("fox.png")).to_be_visible()
