"""The pages in a real browser: under their policy, with htmx, and without any JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, FilePayload, Page, expect
from pytest_django.live_server_helper import LiveServer

from credits import ledger
from credits.models import Account
from generations import lifecycle
from generations.catalogue import find
from generations.models import Generation
from generations.ordering.orders import Order
from generations.provider import clients
from notifications import endpoints
from simulator import Simulator
from tests.helpers.attack_strings import ATTACKS
from tests.helpers.background_work import Work
from tests.helpers.images import brought, picture

pytestmark = pytest.mark.once

NEW = "/new/flux-schnell/"


@pytest.fixture(autouse=True)
def tidy_connections() -> Iterator[None]:
    yield
    clients.close()


@pytest.fixture
def alice(live_limn: LiveServer, fal: Simulator) -> User:
    user = User.objects.create_superuser("alice", password="correct horse")
    ledger.grant(Account.objects.for_user(user), 1000, key="alice:start", actor="test", reason="welcome")
    return user


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the browser finds wrong; a breach of the policy is among it. It must stay empty."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    yield found
    assert found == []


@pytest.fixture
def member(page: Page, alice: User, complaints: list[str]) -> Page:
    """Alice's window."""
    log_in(page)
    return page


def log_in(page: Page) -> None:
    page.goto("/login/")
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def ordered(alice: User, slug: str = "flux-schnell", **inputs: object) -> Generation:
    model = find(slug)
    wish = Order(model=model, inputs=model.read(inputs), raw_input=inputs)
    return lifecycle.order(Account.objects.for_user(alice), wish, actor="user:alice")[0]


def test_a_picture_is_ordered_and_appears_without_a_reload(member: Page) -> None:
    member.goto(NEW)
    member.get_by_label("Prompt").fill("a cat on the moon")
    member.get_by_label("Number of images").fill("2")
    expect(member.locator("#price .amount")).to_have_text("6")
    member.locator(".price").get_by_role("button", name="Order").click()
    member.wait_for_url("**/generations/**")
    member.evaluate("window.sameDocument = true")

    Work().to_the_end(Generation.objects.get())

    expect(member.get_by_text("6 held → 6 charged")).to_be_visible()
    expect(member.locator("#announcement")).to_contain_text("Complete")
    expect(member.locator("figure img")).to_have_count(2)
    expect(member.locator("figure img").first).not_to_have_js_property("naturalWidth", 0)
    assert member.evaluate("window.sameDocument")


def test_without_javascript_the_page_renews_itself(browser: Browser, live_limn: LiveServer, alice: User) -> None:
    context = browser.new_context(base_url=live_limn.url, java_script_enabled=False)
    page = context.new_page()
    log_in(page)
    page.goto(NEW)
    page.get_by_label("Prompt").fill("a cat on the moon")
    page.get_by_role("button", name="Show the price").click()
    expect(page.get_by_label("Prompt")).to_have_value("a cat on the moon")
    page.locator(".price").get_by_role("button", name="Order").click()

    Work().to_the_end(Generation.objects.get())

    expect(page.get_by_text("3 held → 3 charged")).to_be_visible()
    context.close()


def test_a_3d_model_can_be_turned_around_and_nothing_comes_from_elsewhere(member: Page, alice: User) -> None:
    elsewhere: list[str] = []
    member.on("request", lambda request: elsewhere.append(request.url) if "127.0.0.1" not in request.url else None)
    made = Work().to_the_end(ordered(alice, "tripo-v2.5", image_url="https://example.com/chair.png"))

    member.goto(f"/generations/{made.pk}/")

    expect(member.locator("model-viewer")).to_have_js_property("loaded", True, timeout=20_000)
    assert [url for url in elsewhere if not url.startswith(("blob:", "data:"))] == []


def test_g12_no_attack_in_a_prompt_runs_on_any_page(member: Page, alice: User) -> None:
    made = [ordered(alice, prompt=attack) for attack in ATTACKS]
    details = [f"/generations/{each.pk}/" for each in made]
    again = [f"{NEW}?like={each.pk}" for each in made]
    staff = ["/admin/generations/generation/", *(f"/admin/generations/generation/{each.pk}/change/" for each in made)]

    for address in ["/", "/credits/", *details, *again, *staff]:
        member.goto(address)
        assert member.title() != "stolen"
        assert member.locator("script:not([src]), [onerror], [onload], [hx-get='/stolen']").count() == 0


def test_the_presets_keep_what_was_typed_and_enter_orders(member: Page) -> None:
    member.goto("/new/tripo-v2.5/")
    chair = FilePayload(name="chair.png", mimeType="image/png", buffer=picture())
    member.get_by_label("Image", exact=True).set_input_files(chair)
    member.get_by_role("button", name="High").click()
    expect(member.get_by_label("A picture of yours")).to_be_checked()
    expect(member.get_by_role("button", name="High")).to_have_attribute("aria-pressed", "true")

    member.get_by_label("Image address").press("Enter")

    member.wait_for_url("**/generations/**")
    assert Generation.objects.get().preset == "high"


def test_the_admin_works_under_the_same_policy(member: Page, alice: User) -> None:
    generation = ordered(alice, prompt="a fox")
    account = Account.objects.for_user(alice)
    member.goto(f"/admin/credits/account/{account.pk}/grant/")
    member.get_by_label("Amount").fill("50")
    member.get_by_label("Reason").fill("a birthday")
    member.get_by_role("button", name="Grant credits").click()
    expect(member.get_by_text("Grant of +50 credits: a birthday")).to_be_visible()

    member.goto(f"/admin/generations/generation/{generation.pk}/change/")
    member.get_by_role("button", name="Cancel").click()

    expect(member.locator(".badge.failed")).to_have_text("failed · cancelled")


@pytest.mark.parametrize("address", ["/", "/models/", NEW, "/uploads/", "/credits/", "/notices/"])
def test_a_telephone_need_not_scroll_sideways(member: Page, alice: User, address: str) -> None:
    ordered(alice, prompt="w" * 300)
    brought(alice, name="w" * 200)
    member.set_viewport_size({"width": 360, "height": 740})

    member.goto(address)

    assert member.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("width", [1280, 390])
def test_on_the_page_of_notices_nothing_clings_to_its_neighbour(member: Page, alice: User, width: int) -> None:
    for number in range(2):
        endpoints.add(Account.objects.for_user(alice), url=f"https://example.com/{number}", types=["generation.failed"])
    member.set_viewport_size({"width": width, "height": 900})
    member.goto("/notices/")

    parts = [*member.locator("article").all(), member.get_by_label("Address"), member.get_by_text("Sent", exact=True)]
    parts.insert(0, member.locator("#mail"))
    boxes = [box for part in parts if (box := part.bounding_box())]

    gaps = [after["y"] - before["y"] - before["height"] for before, after in pairwise(boxes)]
    assert (len(gaps), min(gaps) >= 16) == (4, True)
    buttons = member.locator("article").first.get_by_role("button").all()
    lines = {box["y"] for button in buttons if (box := button.bounding_box())}
    assert len(lines) == (1 if width == 1280 else 2)
