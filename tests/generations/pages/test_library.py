"""What an owner sees of her generations, and nobody else does."""

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
from tests.fixtures.pages import Place, page_of
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)
FOREIGN = [
    ("get", "generation"),
    ("get", "generation-status"),
    ("post", "generation-cancel"),
    ("post", "generation-retry"),
]
FOR_MEMBERS = ["/", "/models/", "/credits/", *(f"/new/{slug}/" for slug in MODELS)]


@pytest.mark.parametrize("method, name", FOREIGN)
def test_what_belongs_to_somebody_else_is_not_found(
    client: Client, bob: User, order: Place, method: str, name: str
) -> None:
    address = page_of(order(), name)
    client.force_login(bob)

    foreign = getattr(client, method)(address)
    missing = getattr(client, method)(address.replace(address.split("/")[2], "01a1f95a-5151-7460-ad21-5be2c2129ed5"))

    assert foreign.status_code == missing.status_code == 404
    assert Generation.objects.get().cancel_asked_at is None


@pytest.mark.parametrize("address", FOR_MEMBERS)
def test_who_is_not_logged_in_is_asked_to(client: Client, db: None, address: str) -> None:
    assert client.get(address).headers["Location"] == f"/login/?{urlencode({'next': address}, safe='/')}"


def test_an_erased_order_says_nothing_of_files_that_did_not_come(
    browser_of_alice: Client, order: Place, fal: Simulator
) -> None:
    generation = Work().to_the_end(order(prompt="a fox", num_images=2))
    lifecycle.erase(generation, actor="user:alice")

    page = browser_of_alice.get(page_of(generation, "generation")).text

    assert "erased" in page.lower()
    assert "could not be delivered" not in page


def test_a_page_that_polls_after_the_session_ended_is_reloaded(client: Client, order: Place) -> None:
    answer = client.get(page_of(order(), "generation-status"), headers={"HX-Request": "true"})

    assert answer.headers["HX-Refresh"] == "true"


def test_the_list_shows_ones_own_newest_first(browser_of_alice: Client, bob: User, order: Place) -> None:
    for prompt in ("a fox", "two foxes"):
        order(prompt=prompt)

    page = browser_of_alice.get("/").text
    browser_of_alice.force_login(bob)

    assert page.index("two foxes") < page.index("a fox")
    assert "Nothing made yet." in browser_of_alice.get("/").text


def test_the_list_goes_on_where_the_last_page_ended(browser_of_alice: Client, order: Place) -> None:
    made = [order(prompt=f"fox number {number}.") for number in range(26)]

    first = browser_of_alice.get("/?kind=image")
    second = browser_of_alice.get(f"/?kind=image&before={made[2].pk}")

    assert f"?kind=image&amp;before={made[2].pk}" in first.text
    assert "fox number 2." in first.text
    assert "fox number 1." in second.text
    assert "Older" not in second.text


@pytest.mark.parametrize("query", ["status=failed", "kind=video", "status=failed&kind=3d"])
def test_a_filter_leaves_out_what_does_not_fit(browser_of_alice: Client, order: Place, query: str) -> None:
    order(prompt="a fox")

    assert "Nothing here fits." in browser_of_alice.get(f"/?{query}").text
    assert "a fox" in browser_of_alice.get("/?status=pending&kind=image").text


@pytest.mark.parametrize("query", ["before=x", "before=-1", "status=DROP", "kind='", "before=" + "9" * 40])
def test_a_query_without_sense_shows_the_newest(browser_of_alice: Client, order: Place, query: str) -> None:
    order(prompt="a fox")

    assert "a fox" in browser_of_alice.get(f"/?{query}").text


@pytest.mark.parametrize(
    "slug, inputs, element",
    [
        ("flux-schnell", {"prompt": "a fox"}, "<img src="),
        ("veo3.1-fast", {"prompt": "a fox", "duration": "4s"}, "<video src="),
        ("tripo-v2.5", {"image_url": "https://example.com/fox.png"}, "<model-viewer src="),
    ],
)
def test_a_finished_one_shows_its_files_by_kind(
    browser_of_alice: Client, finished: Place, slug: str, inputs: dict[str, str], element: str
) -> None:
    made = finished(slug, **inputs)

    page = browser_of_alice.get(page_of(made)).text

    assert f'{element}"/api/v1/outputs/{made.outputs.order_by("index")[0].pk}/content/"' in page
    assert f"{made.credits} held → {made.credits} charged" in page
    assert "hx-get" not in page


def test_the_viewer_is_loaded_for_3d_only(browser_of_alice: Client, order: Place) -> None:
    solid = order("tripo-v2.5", image_url="https://example.com/fox.png")

    with_viewer, without = (browser_of_alice.get(page_of(each)) for each in (solid, order()))

    assert "model-viewer.min.js" in with_viewer.text
    assert "model-viewer.min.js" not in without.text
    assert "wasm-unsafe-eval" in with_viewer.headers["Content-Security-Policy"]
    assert "unsafe" not in without.headers["Content-Security-Policy"]


def test_what_runs_is_polled_with_and_without_javascript(browser_of_alice: Client, order: Place) -> None:
    running = order()

    page = browser_of_alice.get(page_of(running)).text

    assert f'hx-get="{page_of(running, "generation-status")}?version=1" hx-trigger="every 1500ms"' in page
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page


def test_a_poll_without_news_leaves_the_page_as_it_is(browser_of_alice: Client, order: Place) -> None:
    address = page_of(order(), "generation-status")

    assert browser_of_alice.get(f"{address}?version=1").status_code == 204
    assert 'id="live"' in browser_of_alice.get(f"{address}?version=0").text


def test_the_last_poll_ends_the_polling(browser_of_alice: Client, finished: Place) -> None:
    fragment = browser_of_alice.get(f"{page_of(finished(), 'generation-status')}?version=1")

    assert "Complete" in fragment.text
    assert "hx-trigger" not in fragment.text


def test_a_failure_answers_the_four_questions(browser_of_alice: Client, fal: Simulator, finished: Place) -> None:
    fal.script("fail:content_policy_violation")

    page = browser_of_alice.get(page_of(finished())).text

    assert "content policy refused this" in page
    assert "The content rules of the provider" in page
    assert "Not as it is: change the inputs first." in page
    assert "No. 3 credits went back to you." in page


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_has_its_answers(order: Place, code: FailureCode) -> None:
    generation = order()
    lifecycle.failed(generation, failure(code), actor="limn")
    generation.refresh_from_db()

    answers = labels.answers(generation)

    assert answers.what_happened
    assert answers.whose_fault
    assert answers.was_i_charged == "No. 3 credits went back to you."


def test_partly_delivered_is_partly_charged_and_says_so(
    browser_of_alice: Client, fal: Simulator, finished: Place
) -> None:
    fal.script("outputs:fewer")

    page = browser_of_alice.get(page_of(finished(num_images=3, prompt="foxes"))).text

    assert "1 of 3 files could not be delivered, and was not charged." in page
    assert "9 held → 6 charged, 3 returned" in page


def test_the_place_in_the_line_is_shown(browser_of_alice: Client, fal: Simulator, order: Place) -> None:
    fal.script("queue:600", "callback:lost")
    waiting = order()
    Work().submit()
    Work().ask_fal()

    assert "before it in line" in browser_of_alice.get(page_of(waiting)).text


def test_cancelling_in_time_gives_the_credits_back(browser_of_alice: Client, order: Place) -> None:
    page = browser_of_alice.post(page_of(order(), "generation-cancel"), follow=True).text

    assert "Cancelled. Your credits are back." in page
    assert "3 held → nothing charged, all returned" in page


def test_cancelling_what_fal_has_waits_for_its_answer(browser_of_alice: Client, fal: Simulator, order: Place) -> None:
    fal.script("hold")
    running = order()
    Work().submit()

    page = browser_of_alice.post(page_of(running, "generation-cancel"), follow=True).text

    assert "The provider has been asked to stop." in page
    assert "Being cancelled" in page


def test_a_get_cancels_nothing(browser_of_alice: Client, order: Place) -> None:
    assert browser_of_alice.get(page_of(order(), "generation-cancel")).status_code == 405


def test_staffs_notes_stay_with_staff(browser_of_alice: Client, fal: Simulator, order: Place) -> None:
    fal.script("status:429")
    running = order()
    Work().submit()
    note = running.events.exclude(staff_note="").get().staff_note

    assert note not in browser_of_alice.get(page_of(running)).text


def test_a_size_in_pixels_is_shown_in_words(browser_of_alice: Client, order: Place) -> None:
    wide = order(prompt="a fox", image_size={"width": 1024, "height": 256})

    assert "1024 × 256 pixels" in browser_of_alice.get(page_of(wide)).text


def test_a_model_that_left_the_catalogue_is_still_shown(browser_of_alice: Client, order: Place) -> None:
    old = order()
    Generation.objects.filter(pk=old.pk).update(model="old-model")

    page = browser_of_alice.get(page_of(old))

    assert "old-model" in page.text
    assert "Order something like it" not in page.text


def test_the_number_of_queries_does_not_grow_with_the_list(
    browser_of_alice: Client, order: Place, django_assert_max_num_queries
) -> None:
    for _ in range(20):
        order()

    with django_assert_max_num_queries(6):
        page = browser_of_alice.get("/")

    assert page.text.count('class="card"') == 20
