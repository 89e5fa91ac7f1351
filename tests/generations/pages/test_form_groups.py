"""Groups in a form (shots and elements of a video): the fields of each item, and one empty item for another."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from credits import ledger
from credits.models import Account
from generations.catalogue import find
from generations.models import Generation, Upload
from generations.pages import forms
from simulator import Simulator
from tests.fixtures.pages import PlaceOrder, page_of
from tests.generations.pages.test_forms import typed
from tests.helpers.background_work import Work
from tests.helpers.images import picture, ready_upload

pytestmark = pytest.mark.django_db(transaction=True)
KLING, KLING_IMAGE, WAN = "/new/kling-3-pro/", "/new/kling-3-pro-image/", "/new/wan-2.7-image/"


@pytest.fixture(autouse=True)
def credits_for_videos(alice: User) -> None:
    ledger.grant(Account.objects.for_user(alice), 100_000, key="for videos", actor="test")


def form_with_shots(*shots: tuple[str, str], **changes: str) -> dict[str, Any]:
    """A filled-in form with these shots (prompt, duration)."""
    form = typed("kling-3-pro", prompt="", **changes)
    for n, (prompt, duration) in enumerate(shots):
        form |= {f"multi_prompt-{n}-prompt": prompt, f"multi_prompt-{n}-duration": duration}
    return form


def form_with_element(**changes: Any) -> dict[str, Any]:
    form = typed("kling-3-pro-image", prompt="@Element1 waves", start_image_url="")
    return {**form, "start_image_url-file": file("start.png"), **changes}


def file(name: str, content: bytes = b"") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content or picture(), "image/png")


def test_empty_items_are_not_read() -> None:
    values = forms.read(find("kling-3-pro"), form_with_shots(("a fox wakes", "2"), ("", "5"), ("it yawns", "3")))

    assert values["multi_prompt"] == [
        {"prompt": "a fox wakes", "duration": "2"},
        {"prompt": "it yawns", "duration": "3"},
    ]
    assert "multi_prompt" not in forms.read(find("kling-3-pro"), form_with_shots())


def test_a_video_of_several_shots_can_be_ordered(browser_of_alice: Client, fal: Simulator) -> None:
    browser_of_alice.post(KLING, form_with_shots(("a fox wakes", "2"), ("it yawns", "3")))

    assert fal.log.accepted()[-1].inputs["multi_prompt"][1] == {"prompt": "it yawns", "duration": "3"}
    assert Generation.objects.get().credits == 168 * 5


def test_the_price_is_the_price_of_all_shots(browser_of_alice: Client) -> None:
    shots = form_with_shots(("a fox wakes", "4"), ("it yawns", "3"), duration="5")

    page = browser_of_alice.post(f"{KLING}price/", shots)

    assert '<span class="amount">1,176</span>' in page.text


def test_there_is_an_empty_item_until_the_group_is_full(browser_of_alice: Client) -> None:
    one, six = (
        browser_of_alice.post(KLING, form_with_shots(*[("a fox", "1")] * count, price="")).text.count("<fieldset")
        for count in (1, 6)
    )

    assert (one, six) == (2, 6)


def test_an_error_of_a_shot_is_shown_at_its_field(browser_of_alice: Client) -> None:
    page = browser_of_alice.post(KLING, form_with_shots(("a fox wakes", "2"), ("", "3")))

    assert page.status_code == 422
    assert 'id="input-multi_prompt-1-prompt-errors">Please fill this in.' in page.text
    assert "a fox wakes</textarea>" in page.text
    assert not Generation.objects.exists()


def test_an_error_of_all_shots_together_is_shown_once_at_the_group(browser_of_alice: Client) -> None:
    page = browser_of_alice.post(KLING, form_with_shots(("a fox", "8"), ("a cat", "8")))

    assert page.status_code == 422
    assert page.text.count("The shots add up to 16 seconds; a video lasts 3 to 15 seconds.") == 1


def test_the_images_of_an_element_can_be_uploaded(browser_of_alice: Client, fal: Simulator) -> None:
    images = {
        "elements-0-frontal_image_url-file": file("front.png"),
        "elements-0-reference_image_urls-file": [file("left.png"), file("right.png")],
    }

    page = browser_of_alice.post(KLING_IMAGE, form_with_element(**images), follow=True)

    generation = Generation.objects.get()
    assert page.redirect_chain == [(page_of(generation), 302)]
    names = [source.upload.file_name for source in generation.input_files.order_by("path") if source.upload]
    assert names == ["front.png", "left.png", "right.png", "start.png"]
    assert 'alt="right.png"' in page.text


def test_an_incomplete_element_keeps_its_images(browser_of_alice: Client) -> None:
    incomplete = {"elements-0-reference_image_urls-file": file("a.png")}

    page = browser_of_alice.post(KLING_IMAGE, form_with_element(**incomplete))

    assert page.status_code == 422
    assert "Give frontal_image_url or video_url." in page.text
    assert re.search(r'name="elements-0-reference_image_urls-kept" value="upload:[0-9a-f-]+" checked', page.text)


def test_a_file_in_an_element_that_is_no_image_is_reported_and_the_others_are_kept(browser_of_alice: Client) -> None:
    evil = {"elements-0-frontal_image_url-file": file("evil.png", b"<script>")}

    page = browser_of_alice.post(KLING_IMAGE, form_with_element(**evil))

    assert page.status_code == 422
    assert "evil.png: not a complete PNG, JPEG or WebP" in page.text
    assert 'name="start_image_url-kept"' in page.text


def test_a_double_click_with_uploads_in_an_element_places_one_order(browser_of_alice: Client, fal: Simulator) -> None:
    for _ in range(2):
        element = {"elements-0-frontal_image_url-file": file("front.png"), "nonce": "0123456789abcdef" * 2}
        browser_of_alice.post(KLING_IMAGE, form_with_element(**element))

    assert Generation.objects.count() == len(fal.log.posts()) == 1
    assert [upload.state for upload in Upload.objects.order_by("id")] == ["ready", "ready", "erased", "erased"]


def test_an_earlier_order_with_shots_and_elements_fills_in_the_form(
    browser_of_alice: Client, alice: User, order: PlaceOrder
) -> None:
    element = {"frontal_image_url": {"upload": str(ready_upload(alice).pk)}}
    shots = [{"prompt": "a fox wakes", "duration": "2"}, {"prompt": "it yawns", "duration": "1"}]
    start = "https://example.com/a.png"
    earlier = order("kling-3-pro-image", prompt=None, multi_prompt=shots, start_image_url=start, elements=[element])

    form = browser_of_alice.get(f"{KLING_IMAGE}?like={earlier.pk}").text
    detail = browser_of_alice.get(page_of(earlier)).text

    assert "a fox wakes</textarea>" in form
    assert f'name="elements-0-frontal_image_url-kept" value="upload:{element["frontal_image_url"]["upload"]}"' in form
    assert "a fox wakes, 2\nit yawns, 1" in detail


def test_only_a_video_that_is_short_enough_can_be_continued(
    browser_of_alice: Client, order: PlaceOrder, fal: Simulator
) -> None:
    short, long = (Work().until_done(order("wan-2.7", prompt="waves", duration=seconds)) for seconds in (2, 11))
    clip = short.outputs.get().pk

    assert f"{WAN}?output={clip}" in browser_of_alice.get(page_of(short)).text
    assert WAN not in browser_of_alice.get(page_of(long)).text
    assert f'name="video_url-kept" value="output:{clip}" checked' in browser_of_alice.get(f"{WAN}?output={clip}").text
