"""Pictures in the pages, for a browser without JavaScript: chosen, kept, ordered with, and worked on further."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from credits.models import Account, Hold
from generations.files import uploads
from generations.models import Generation, Upload
from generations.pages.form_uploads import FORM_BYTES_MAX
from generations.provider import circuit_breaker
from simulator import Simulator
from tests.fixtures.pages import alice, bob, browser_of_alice, finished, order, page_of
from tests.generations.pages.test_forms import typed
from tests.helpers.background_work import Work
from tests.helpers.images import brought, picture
from tests.services.seaweed import Bucket

__all__ = ["alice", "bob", "browser_of_alice", "finished", "order"]
pytestmark = pytest.mark.django_db(transaction=True)
EDIT = "/new/flux-2-edit/"
NONCE = "0123456789abcdef" * 2


def file(content: bytes = b"", name: str = "fox.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content or picture(), "image/png")


def form(*files: SimpleUploadedFile, **changes: Any) -> dict[str, Any]:
    return {**typed("flux-2-edit", image_urls=""), "image_urls-file": list(files), **changes}


def test_pictures_are_chosen_and_ordered_with_in_one_go(browser_of_alice: Client, fal: Simulator) -> None:
    detail = browser_of_alice.post(EDIT, form(file(), file(picture("JPEG"), "cat.jpg")), follow=True)

    generation = Generation.objects.get()
    assert detail.redirect_chain == [(page_of(generation), 302)]
    assert [source.path for source in generation.input_files.all()] == ["image_urls[0]", "image_urls[1]"]
    assert generation.credits == 12 * 3
    assert 'alt="cat.jpg"' in detail.text


def test_a_mistake_elsewhere_loses_no_picture(browser_of_alice: Client, fal: Simulator) -> None:
    answer = browser_of_alice.post(EDIT, form(file(), num_images="9"))

    kept = re.findall(r'name="image_urls-kept" value="(upload:[0-9a-f-]+)" checked', answer.text)
    again = browser_of_alice.post(EDIT, {**form(), "image_urls-kept": kept})

    assert (answer.status_code, len(kept)) == (422, 1)
    assert again.headers["Location"] == page_of(Generation.objects.get())
    assert Upload.objects.count() == 1


@pytest.mark.parametrize("button", [{"price": ""}, {"preset": "none"}])
def test_a_form_that_only_asks_keeps_its_pictures_and_orders_nothing(
    browser_of_alice: Client, button: dict[str, str]
) -> None:
    answer = browser_of_alice.post(EDIT, form(file(), **button))

    assert 'name="image_urls-kept"' in answer.text
    assert '<span class="amount">24</span>' in answer.text
    assert not Generation.objects.exists()


def test_what_is_no_picture_is_named_beside_its_field_and_the_others_are_kept(browser_of_alice: Client) -> None:
    answer = browser_of_alice.post(EDIT, form(file(), file(b"<script>", "<b>evil.png")))

    assert answer.status_code == 422
    assert "&lt;b&gt;evil.png: not a whole PNG, JPEG or WebP picture" in answer.text
    assert answer.text.count('name="image_urls-kept"') == 1
    assert not Hold.objects.exists()


def test_no_picture_at_all_is_told_beside_its_field(browser_of_alice: Client) -> None:
    answer = browser_of_alice.post(EDIT, form())

    assert 'id="input-image_urls-errors">Please fill this in.' in answer.text


def test_a_double_click_is_one_order_though_its_pictures_came_twice(browser_of_alice: Client, fal: Simulator) -> None:
    first, second = (browser_of_alice.post(EDIT, form(file(), nonce=NONCE)) for _ in range(2))

    assert first.headers["Location"] == second.headers["Location"]
    assert Generation.objects.count() == len(fal.log.posts()) == 1
    assert [upload.state for upload in Upload.objects.order_by("id")] == ["ready", "erased"]


def test_an_address_that_leads_nowhere_is_told_and_nothing_is_held(browser_of_alice: Client, fal: Simulator) -> None:
    answer = browser_of_alice.post(EDIT, form(image_urls=f"{fal.url}/files/nothing.png"))

    assert answer.status_code == 422
    assert "There is nothing at this address" in answer.text
    assert f"{fal.url}/files/nothing.png</textarea>" in answer.text
    assert not Hold.objects.exists()


def test_pictures_that_fal_could_not_reach_are_a_sentence_and_no_order(browser_of_alice: Client, settings) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"

    answer = browser_of_alice.post(EDIT, form(file()))

    assert (answer.status_code, "SITE_URL" in answer.text) == (503, True)
    assert not Hold.objects.exists()


def test_while_fal_refuses_us_the_form_keeps_its_pictures(browser_of_alice: Client) -> None:
    circuit_breaker.trip("Exhausted balance")

    answer = browser_of_alice.post(EDIT, form(file()))

    assert (answer.status_code, answer.text.count('name="image_urls-kept"')) == (503, 1)
    assert "balance" not in answer.text.partition('role="alert"')[2][:200]


def test_the_price_counts_the_pictures_that_are_chosen_and_not_sent_yet(browser_of_alice: Client) -> None:
    chosen = {**typed("flux-2-edit", image_urls=""), "image_urls-file": ["[object File]", "[object File]"]}

    assert '<span class="amount">36</span>' in browser_of_alice.post(f"{EDIT}price/", chosen).text


def test_a_form_of_many_megabytes_is_refused_before_it_is_read(browser_of_alice: Client) -> None:
    answer = browser_of_alice.post(EDIT, form(file()), headers={"Content-Length": str(FORM_BYTES_MAX + 1)})

    assert answer.status_code in (400, 413)
    assert not Upload.objects.exists()


# --- Working on what was made ---


def test_a_picture_that_was_made_is_a_click_away_from_the_next(
    browser_of_alice: Client, finished: Any, fal: Simulator
) -> None:
    made = finished()
    output = made.outputs.get()

    links = re.findall(r'href="(/new/[^"]+\?output=[^"]+)">([^<]+)</a>', browser_of_alice.get(page_of(made)).text)
    shown = [browser_of_alice.get(address).text for address, _ in links]

    assert [words for _, words in links] == ["Edit this", "Make a video of this"]
    assert all(f'value="output:{output.pk}" checked' in text for text in shown)


def test_parent_and_child_lead_to_each_other(browser_of_alice: Client, finished: Any, fal: Simulator) -> None:
    parent = finished(prompt="a fox")
    kept = {"image_urls-kept": [f"output:{parent.outputs.get().pk}"]}

    browser_of_alice.post(EDIT, {**form(prompt="in snow"), **kept})

    child = Work().to_the_end(Generation.objects.exclude(pk=parent.pk).get())
    assert f'href="{page_of(child)}">FLUX.2, edit: in snow</a>' in browser_of_alice.get(page_of(parent)).text
    assert f'href="{page_of(parent)}"><img' in browser_of_alice.get(page_of(child)).text


@pytest.mark.parametrize("name", ["nonsense", "01a1f95a-5151-7460-ad21-5be2c2129ed5"])
def test_what_is_not_ones_own_prefills_nothing(browser_of_alice: Client, name: str) -> None:
    answer = browser_of_alice.get(f"{EDIT}?output={name}")

    assert (answer.status_code, "image_urls-kept" in answer.text) == (200, False)


def test_an_earlier_order_is_shown_with_its_pictures(browser_of_alice: Client, alice: User, order: Any) -> None:
    upload = brought(alice)
    earlier = order("flux-2-edit", prompt="in snow", image_urls=[{"upload": str(upload.pk)}])

    again = browser_of_alice.get(f"{EDIT}?like={earlier.pk}")

    assert f'value="upload:{upload.pk}" checked' in again.text
    assert "a file of yours" in browser_of_alice.get(page_of(earlier)).text


# --- The page of one's uploads ---


def test_ones_uploads_are_shown_with_their_use_and_the_room_they_take(
    browser_of_alice: Client, alice: User, bob: User, fal: Simulator
) -> None:
    browser_of_alice.post(EDIT, form(file(name="fox.png")))
    brought(alice, picture(size=(300, 200)), name="<b>hare.png")
    brought(bob, name="wolf.png")

    page = browser_of_alice.get("/uploads/").text

    assert (page.count("Used by 1 generation<"), page.count("Not used")) == (1, 1)
    assert "300 × 200" in page
    assert "&lt;b&gt;hare.png" in page
    assert "wolf.png" not in page
    assert f'value="{sum(upload.size_bytes or 0 for upload in Upload.objects.filter(account__user=alice))}"' in page


def test_an_upload_is_deleted_from_the_page(browser_of_alice: Client, alice: User) -> None:
    mine = brought(alice)
    address = f"/uploads/{mine.pk}/erase/"
    assert f'action="{address}"' in browser_of_alice.get("/uploads/").text

    page = browser_of_alice.post(address, follow=True)

    assert "Deleted: fox.png." in page.text
    assert page.text.count("fox.png") == 1
    assert Upload.objects.get().state == Upload.State.ERASED
    assert browser_of_alice.get(address).status_code == 405


def test_one_that_is_needed_stays_and_says_why(browser_of_alice: Client, fal: Simulator) -> None:
    browser_of_alice.post(EDIT, form(file()))
    mine = Upload.objects.get()

    page = browser_of_alice.post(f"/uploads/{mine.pk}/erase/", follow=True)

    assert "A generation that is not done needs it." in page.text
    mine.refresh_from_db()
    assert mine.state == Upload.State.READY


def test_one_that_storage_does_not_let_go_yet_is_deleted_and_its_room_is_not_free(
    browser_of_alice: Client, alice: User, settings: Any
) -> None:
    mine, away = brought(alice), Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**settings.STORAGES, "default": away.storage}

    page = browser_of_alice.post(f"/uploads/{mine.pk}/erase/", follow=True)

    assert "Storage does not answer just now" in page.text
    assert f'value="{mine.size_bytes}"' in page.text


def test_what_is_somebody_elses_cannot_be_deleted(browser_of_alice: Client, bob: User) -> None:
    his = brought(bob)

    assert browser_of_alice.post(f"/uploads/{his.pk}/erase/").status_code == 404

    his.refresh_from_db()
    assert his.state == Upload.State.READY


def test_what_is_not_complete_is_shown_while_it_takes_room(browser_of_alice: Client, alice: User) -> None:
    uploads.create(Account.objects.for_user(alice), file_name="late.png", content_type="image/png", size_bytes=2048)

    page = browser_of_alice.get("/uploads/").text

    assert "Not complete yet" in page
    assert 'value="2048"' in page


def test_strangers_are_asked_to_log_in_for_uploads(client: Client, alice: User) -> None:
    mine = brought(alice)

    for answer in (client.get("/uploads/"), client.post(f"/uploads/{mine.pk}/erase/")):
        assert answer["Location"].startswith("/login/")

    assert Upload.objects.get().state == Upload.State.READY


def test_a_full_form_leads_to_ones_uploads(browser_of_alice: Client, settings: Any) -> None:
    settings.UPLOAD_MEGABYTES_MAX = 0

    page = browser_of_alice.post(EDIT, form(file()))

    assert "Delete some that you no longer need." in page.text
    assert page.text.count('href="/uploads/"') == 2
