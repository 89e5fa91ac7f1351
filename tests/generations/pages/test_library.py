"""The library and the page of a generation: what an owner sees, and other users do not."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from generations import lifecycle
from generations.catalogue import MODELS
from generations.lifecycle import failure
from generations.models import FailureCode, Generation
from generations.pages import labels
from simulator import Simulator
from tests.fixtures.pages import PlaceOrder, page_of
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)
NO_SUCH_ID = "01a1f95a-5151-7460-ad21-5be2c2129ed5"


# --- Access ---


@pytest.mark.parametrize(
    "method, name",
    [
        ("get", "generation"),
        ("get", "generation-status"),
        ("post", "generation-cancel"),
        ("post", "generation-retry"),
        ("post", "generation-again"),
    ],
)
def test_the_generation_of_another_user_is_not_found(
    client: Client, bob: User, order: PlaceOrder, method: str, name: str
) -> None:
    url = page_of(order(), name)
    client.force_login(bob)

    foreign = getattr(client, method)(url)
    missing = getattr(client, method)(url.replace(url.split("/")[2], NO_SUCH_ID))

    assert foreign.status_code == missing.status_code == 404
    assert Generation.objects.get().cancel_asked_at is None


def test_every_page_requires_a_login(client: Client, db: None) -> None:
    for url in ("/", "/models/", "/credits/", *(f"/new/{slug}/" for slug in MODELS)):
        assert client.get(url).headers["Location"] == f"/login/?{urlencode({'next': url}, safe='/')}"


def test_a_poll_after_the_end_of_the_session_reloads_the_page(client: Client, order: PlaceOrder) -> None:
    response = client.get(page_of(order(), "generation-status"), headers={"HX-Request": "true"})

    assert response.headers["HX-Refresh"] == "true"


# --- The library ---


def test_the_library_shows_the_users_own_generations_newest_first(
    browser_of_alice: Client, bob: User, order: PlaceOrder
) -> None:
    for prompt in ("a fox", "two foxes"):
        order(prompt=prompt)

    page = browser_of_alice.get("/").text
    browser_of_alice.force_login(bob)

    assert page.index("two foxes") < page.index("a fox")
    assert "You have no generations yet." in browser_of_alice.get("/").text


def test_an_older_page_continues_where_the_newer_one_ended(browser_of_alice: Client, order: PlaceOrder) -> None:
    placed = [order(prompt=f"fox number {number}.") for number in range(26)]

    newer = browser_of_alice.get("/?kind=image")
    older = browser_of_alice.get(f"/?kind=image&before={placed[2].pk}")

    assert f"?kind=image&amp;before={placed[2].pk}" in newer.text
    assert "fox number 2." in newer.text
    assert "fox number 1." in older.text
    assert "Older" not in older.text


def test_a_filter_leaves_out_other_generations(browser_of_alice: Client, order: PlaceOrder) -> None:
    order(prompt="a fox")

    for query in ("status=failed", "kind=video", "status=failed&kind=3d"):
        assert "No generation matches this filter." in browser_of_alice.get(f"/?{query}").text
    assert "a fox" in browser_of_alice.get("/?status=pending&kind=image").text


def test_an_invalid_query_shows_the_newest_generations(browser_of_alice: Client, order: PlaceOrder) -> None:
    order(prompt="a fox")

    for query in ("before=x", "before=-1", "status=DROP", "kind='", "before=" + "9" * 40):
        assert "a fox" in browser_of_alice.get(f"/?{query}").text, query


def test_the_number_of_queries_does_not_grow_with_the_library(
    browser_of_alice: Client, order: PlaceOrder, django_assert_max_num_queries
) -> None:
    for _ in range(20):
        order()

    with django_assert_max_num_queries(6):
        page = browser_of_alice.get("/")

    assert page.text.count('class="card"') == 20


# --- A generation in progress ---


def test_a_running_generation_is_polled_with_and_without_javascript(
    browser_of_alice: Client, order: PlaceOrder
) -> None:
    running = order()

    page = browser_of_alice.get(page_of(running)).text

    assert f'hx-get="{page_of(running, "generation-status")}?version=1" hx-trigger="every 1500ms"' in page
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page


def test_a_poll_without_changes_is_answered_without_content(browser_of_alice: Client, order: PlaceOrder) -> None:
    url = page_of(order(), "generation-status")

    assert browser_of_alice.get(f"{url}?version=1").status_code == 204
    assert 'id="live"' in browser_of_alice.get(f"{url}?version=0").text


def test_the_last_poll_ends_the_polling(browser_of_alice: Client, finished: PlaceOrder) -> None:
    fragment = browser_of_alice.get(f"{page_of(finished(), 'generation-status')}?version=1")

    assert "Completed" in fragment.text
    assert "hx-trigger" not in fragment.text


def test_the_position_in_the_queue_is_shown(browser_of_alice: Client, fal: Simulator, order: PlaceOrder) -> None:
    fal.script("queue:600", "callback:lost")
    waiting = order()
    Work().submit()
    Work().reconcile()

    assert "ahead of it in the queue" in browser_of_alice.get(page_of(waiting)).text


def test_notes_for_staff_are_not_shown_to_the_owner(
    browser_of_alice: Client, fal: Simulator, order: PlaceOrder
) -> None:
    fal.script("status:429")
    running = order()
    Work().submit()
    note = running.events.exclude(staff_note="").get().staff_note

    assert note not in browser_of_alice.get(page_of(running)).text


# --- Cancelling ---


def test_cancelling_before_submission_releases_the_credits(browser_of_alice: Client, order: PlaceOrder) -> None:
    page = browser_of_alice.post(page_of(order(), "generation-cancel"), follow=True).text

    assert "Cancelled. The reserved credits were released." in page
    assert "3 reserved → nothing charged, all released" in page


def test_cancelling_a_submitted_generation_waits_for_the_provider(
    browser_of_alice: Client, fal: Simulator, order: PlaceOrder
) -> None:
    fal.script("hold")
    running = order()
    Work().submit()

    page = browser_of_alice.post(page_of(running, "generation-cancel"), follow=True).text

    assert "The provider has been asked to cancel it." in page
    assert "Cancelling" in page


def test_a_get_request_cancels_nothing(browser_of_alice: Client, order: PlaceOrder) -> None:
    assert browser_of_alice.get(page_of(order(), "generation-cancel")).status_code == 405


# --- A finished generation ---


@pytest.mark.parametrize(
    "slug, inputs, element",
    [
        ("flux-schnell", {"prompt": "a fox"}, "<img src="),
        ("veo3.1-fast", {"prompt": "a fox", "duration": "4s"}, "<video src="),
        ("tripo-v2.5", {"image_url": "https://example.com/fox.png"}, "<model-viewer src="),
    ],
)
def test_a_completed_generation_shows_its_files_by_kind(
    browser_of_alice: Client, finished: PlaceOrder, slug: str, inputs: dict[str, str], element: str
) -> None:
    generation = finished(slug, **inputs)

    page = browser_of_alice.get(page_of(generation)).text

    assert f'{element}"/api/v1/outputs/{generation.outputs.order_by("index")[0].pk}/content/"' in page
    assert f"{generation.credits} reserved → {generation.credits} charged" in page
    assert "hx-get" not in page


def test_the_viewer_is_loaded_for_3d_models_only(browser_of_alice: Client, order: PlaceOrder) -> None:
    solid = order("tripo-v2.5", image_url="https://example.com/fox.png")

    with_viewer, without = (browser_of_alice.get(page_of(generation)) for generation in (solid, order()))

    assert "model-viewer.min.js" in with_viewer.text
    assert "model-viewer.min.js" not in without.text
    assert "wasm-unsafe-eval" in with_viewer.headers["Content-Security-Policy"]
    assert "unsafe" not in without.headers["Content-Security-Policy"]


def test_a_failure_answers_four_questions(browser_of_alice: Client, fal: Simulator, finished: PlaceOrder) -> None:
    fal.script("fail:content_policy_violation")
    generation = finished()

    page = browser_of_alice.get(page_of(generation)).text

    assert generation.failure_message in page
    assert "It falls under the provider’s content policy." in page
    assert "Only after you have changed the inputs." in page
    assert "No; 3 credits released." in page


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_code_has_an_explanation(order: PlaceOrder, code: FailureCode) -> None:
    generation = order()
    lifecycle.failed(generation, failure(code), actor="limn")
    generation.refresh_from_db()

    explanation = labels.explain_failure(generation)

    assert explanation.what_happened
    assert explanation.responsible
    assert explanation.was_charged == "No; 3 credits released."


def test_a_partial_delivery_is_charged_in_part(browser_of_alice: Client, fal: Simulator, finished: PlaceOrder) -> None:
    fal.script("outputs:fewer")

    page = browser_of_alice.get(page_of(finished(num_images=3, prompt="foxes"))).text

    assert "1 of 3 files could not be delivered, and was not charged." in page
    assert "9 reserved → 6 charged, 3 released" in page


def test_an_erased_generation_reports_no_missing_files(
    browser_of_alice: Client, order: PlaceOrder, fal: Simulator
) -> None:
    generation = Work().until_done(order(prompt="a fox", num_images=2))
    lifecycle.erase(generation, actor="user:alice")

    page = browser_of_alice.get(page_of(generation)).text

    assert "Erased" in page
    assert "could not be delivered" not in page


def test_a_size_in_pixels_is_readable(browser_of_alice: Client, order: PlaceOrder) -> None:
    wide = order(prompt="a fox", image_size={"width": 1024, "height": 256})

    assert "1024 × 256 pixels" in browser_of_alice.get(page_of(wide)).text


def test_a_generation_of_a_removed_model_is_still_shown(browser_of_alice: Client, order: PlaceOrder) -> None:
    generation = order()
    offered = browser_of_alice.get(page_of(generation)).text
    Generation.objects.filter(pk=generation.pk).update(model="old-model")

    removed = browser_of_alice.get(page_of(generation)).text

    assert "old-model" in removed
    assert ("Use these inputs again" in offered, "Use these inputs again" in removed) == (True, False)
