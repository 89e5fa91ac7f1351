"""The pages in a browser: under their content security policy, with htmx, and without JavaScript."""

from __future__ import annotations

from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, FilePayload, Page, expect
from pytest_django.live_server_helper import LiveServer

from credits.models import Account
from generations import lifecycle
from generations.catalogue import find
from generations.models import Generation
from generations.ordering.orders import Order
from notifications import endpoints
from tests.end_to_end.browser.conftest import log_in
from tests.helpers.attack_strings import ATTACKS
from tests.helpers.background_work import Work
from tests.helpers.images import picture, ready_upload

pytestmark = pytest.mark.once

FORM = "/new/flux-schnell/"
PHONE_WIDTH = 360


def place_order(user: User, slug: str = "flux-schnell", **inputs: object) -> Generation:
    model = find(slug)
    order = Order(model=model, inputs=model.read(inputs), raw_input=inputs)
    return lifecycle.order(Account.objects.for_user(user), order, actor="user:alice")[0]


def test_images_are_ordered_and_appear_without_a_reload(alices_page: Page) -> None:
    alices_page.goto(FORM)
    alices_page.get_by_label("Prompt").fill("a cat on the moon")
    alices_page.get_by_label("Number of images").fill("2")
    expect(alices_page.locator("#price .amount")).to_have_text("6")
    alices_page.locator(".price").get_by_role("button", name="Generate").click()
    alices_page.wait_for_url("**/generations/**")
    alices_page.evaluate("window.sameDocument = true")

    Work().until_done(Generation.objects.get())

    expect(alices_page.get_by_text("6 reserved → 6 charged")).to_be_visible()
    expect(alices_page.locator("#announcement")).to_contain_text("Completed")
    expect(alices_page.locator("figure img")).to_have_count(2)
    expect(alices_page.locator("figure img").first).not_to_have_js_property("naturalWidth", 0)
    assert alices_page.evaluate("window.sameDocument")


def test_without_javascript_the_page_reloads_itself(browser: Browser, live_limn: LiveServer, alice: User) -> None:
    context = browser.new_context(base_url=live_limn.url, java_script_enabled=False)
    page = context.new_page()
    log_in(page)
    page.goto(FORM)
    page.get_by_label("Prompt").fill("a cat on the moon")
    page.get_by_role("button", name="Show the price").click()
    expect(page.get_by_label("Prompt")).to_have_value("a cat on the moon")
    page.locator(".price").get_by_role("button", name="Generate").click()

    Work().until_done(Generation.objects.get())

    expect(page.get_by_text("3 reserved → 3 charged")).to_be_visible()
    context.close()


def test_a_3d_model_is_shown_without_requests_to_other_hosts(alices_page: Page, alice: User) -> None:
    foreign: list[str] = []
    alices_page.on("request", lambda request: foreign.append(request.url) if "127.0.0.1" not in request.url else None)
    generation = Work().until_done(place_order(alice, "tripo-v2.5", image_url="https://example.com/chair.png"))

    alices_page.goto(f"/generations/{generation.pk}/")

    expect(alices_page.locator("model-viewer")).to_have_js_property("loaded", True, timeout=60_000)
    assert [url for url in foreign if not url.startswith(("blob:", "data:"))] == []


def test_g12_markup_in_a_prompt_runs_on_no_page(alices_page: Page, alice: User) -> None:
    ids = [place_order(alice, prompt=attack).pk for attack in ATTACKS]
    details = [f"/generations/{pk}/" for pk in ids]
    forms = [f"{FORM}?like={pk}" for pk in ids]
    admin = ["/admin/generations/generation/", *(f"/admin/generations/generation/{pk}/change/" for pk in ids)]

    for url in ["/", "/credits/", *details, *forms, *admin]:
        alices_page.goto(url)
        assert alices_page.title() != "stolen"
        assert alices_page.locator("script:not([src]), [onerror], [onload], [hx-get='/stolen']").count() == 0


def test_presets_keep_the_uploaded_image_and_the_enter_key_orders(alices_page: Page) -> None:
    alices_page.goto("/new/tripo-v2.5/")
    chair = FilePayload(name="chair.png", mimeType="image/png", buffer=picture())
    alices_page.get_by_label("Image", exact=True).set_input_files(chair)
    alices_page.get_by_role("button", name="High").click()
    expect(alices_page.get_by_label("One of your images")).to_be_checked()
    expect(alices_page.get_by_role("button", name="High")).to_have_attribute("aria-pressed", "true")

    alices_page.get_by_label("Image URL").press("Enter")

    alices_page.wait_for_url("**/generations/**")
    assert Generation.objects.get().preset == "high"


def test_no_page_is_wider_than_a_phone(alices_page: Page, alice: User) -> None:
    place_order(alice, prompt="w" * 300)
    ready_upload(alice, name="w" * 200)
    alices_page.set_viewport_size({"width": PHONE_WIDTH, "height": 740})

    for url in ("/", "/models/", FORM, "/uploads/", "/credits/", "/keys/", "/charges/", "/infographics/", "/notices/"):
        alices_page.goto(url)
        assert alices_page.evaluate("document.documentElement.scrollWidth") == PHONE_WIDTH, url


@pytest.mark.parametrize("width, rows_of_buttons", [(1280, 1), (390, 2)])
def test_the_parts_of_the_notifications_page_keep_their_distance(
    alices_page: Page, alice: User, width: int, rows_of_buttons: int
) -> None:
    for number in range(2):
        endpoints.create(
            Account.objects.for_user(alice), url=f"https://example.com/{number}", types=["generation.failed"]
        )
    alices_page.set_viewport_size({"width": width, "height": 900})
    alices_page.goto("/notices/")

    heading = alices_page.get_by_role("heading", name="Webhook deliveries")
    parts = [alices_page.locator("#mail"), *alices_page.locator("article").all()]
    parts += [alices_page.get_by_label("URL", exact=True), heading]
    boxes = [box for part in parts if (box := part.bounding_box())]

    gaps = [after["y"] - before["y"] - before["height"] for before, after in pairwise(boxes)]
    assert (len(gaps), min(gaps) >= 16) == (4, True)
    buttons = alices_page.locator("article").first.get_by_role("button").all()
    rows = {box["y"] for button in buttons if (box := button.bounding_box())}
    assert len(rows) == rows_of_buttons
