"""Shots and elements in a form, for a browser without JavaScript: some fields each, and room for one more."""

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
from tests.fixtures.pages import alice, browser_of_alice, order, page_of
from tests.generations.pages.test_forms import typed
from tests.helpers.background_work import Work
from tests.helpers.images import brought, picture

__all__ = ["alice", "browser_of_alice", "order"]
pytestmark = pytest.mark.django_db(transaction=True)
KLING, KLING_IMAGE, WAN = "/new/kling-3-pro/", "/new/kling-3-pro-image/", "/new/wan-2.7-image/"


@pytest.fixture(autouse=True)
def credits_for_videos(alice: User) -> None:
    ledger.grant(Account.objects.for_user(alice), 100_000, key="for videos", actor="test")


def shots(*told: tuple[str, str], **changes: str) -> dict[str, Any]:
    form = typed("kling-3-pro", prompt="", **changes)
    for n, (prompt, duration) in enumerate(told):
        form |= {f"multi_prompt-{n}-prompt": prompt, f"multi_prompt-{n}-duration": duration}
    return form


def with_an_element(**changes: Any) -> dict[str, Any]:
    form = typed("kling-3-pro-image", prompt="@Element1 waves", start_image_url="")
    return {**form, "start_image_url-file": file("start.png"), **changes}


def file(name: str, content: bytes = b"") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content or picture(), "image/png")


def test_what_was_filled_in_is_read_and_the_empty_rest_is_none() -> None:
    read = forms.read(find("kling-3-pro"), shots(("a fox wakes", "2"), ("", "5"), ("it yawns", "3")))

    assert read["multi_prompt"] == [
        {"prompt": "a fox wakes", "duration": "2"},
        {"prompt": "it yawns", "duration": "3"},
    ]
    assert "multi_prompt" not in forms.read(find("kling-3-pro"), shots())


def test_a_video_of_several_shots_is_ordered_by_a_form(browser_of_alice: Client, fal: Simulator) -> None:
    browser_of_alice.post(KLING, shots(("a fox wakes", "2"), ("it yawns", "3")))

    assert fal.log.accepted()[-1].inputs["multi_prompt"][1] == {"prompt": "it yawns", "duration": "3"}
    assert Generation.objects.get().credits == 168 * 5


def test_the_price_follows_the_shots(browser_of_alice: Client) -> None:
    page = browser_of_alice.post(f"{KLING}price/", shots(("a fox wakes", "4"), ("it yawns", "3"), duration="5"))

    assert '<span class="amount">1,176</span>' in page.text


def test_there_is_always_room_for_one_more_until_all_are_taken(browser_of_alice: Client) -> None:
    one, six = (
        browser_of_alice.post(KLING, shots(*[("a fox", "1")] * count, price="")).text.count("<fieldset")
        for count in (1, 6)
    )

    assert (one, six) == (2, 6)


def test_what_is_wrong_with_a_shot_is_told_beside_it_and_nothing_typed_is_lost(browser_of_alice: Client) -> None:
    page = browser_of_alice.post(KLING, shots(("a fox wakes", "2"), ("", "3")))

    assert page.status_code == 422
    assert 'id="input-multi_prompt-1-prompt-errors">Please fill this in.' in page.text
    assert "a fox wakes</textarea>" in page.text
    assert not Generation.objects.exists()


def test_shots_that_are_too_long_together_are_told_at_the_group(browser_of_alice: Client) -> None:
    page = browser_of_alice.post(KLING, shots(("a fox", "8"), ("a cat", "8")))

    assert "The shots add up to 16 seconds; a video lasts 3 to 15 seconds." in page.text
    assert page.text.count("add up to 16 seconds") == 1


def test_an_element_comes_with_pictures_from_the_device(browser_of_alice: Client, fal: Simulator) -> None:
    pictures = {
        "elements-0-frontal_image_url-file": file("front.png"),
        "elements-0-reference_image_urls-file": [file("left.png"), file("right.png")],
    }

    page = browser_of_alice.post(KLING_IMAGE, with_an_element(**pictures), follow=True)

    assert page.redirect_chain == [(page_of(generation := Generation.objects.get()), 302)]
    assert [source.upload.file_name for source in generation.input_files.order_by("path") if source.upload] == [
        *("front.png", "left.png", "right.png", "start.png")
    ]
    assert 'alt="right.png"' in page.text


def test_an_element_that_is_not_whole_keeps_its_pictures(browser_of_alice: Client) -> None:
    page = browser_of_alice.post(
        KLING_IMAGE, with_an_element(**{"elements-0-reference_image_urls-file": file("a.png")})
    )

    assert page.status_code == 422
    assert "Give frontal_image_url or video_url." in page.text
    assert re.search(r'name="elements-0-reference_image_urls-kept" value="upload:[0-9a-f-]+" checked', page.text)


def test_a_picture_that_is_none_inside_an_element_is_told_and_the_others_are_kept(browser_of_alice: Client) -> None:
    evil = {"elements-0-frontal_image_url-file": file("evil.png", b"<script>")}

    page = browser_of_alice.post(KLING_IMAGE, with_an_element(**evil))

    assert page.status_code == 422
    assert "evil.png: not a whole PNG, JPEG or WebP picture" in page.text
    assert 'name="start_image_url-kept"' in page.text


def test_a_double_click_is_one_order_though_its_elements_came_twice(browser_of_alice: Client, fal: Simulator) -> None:
    for _ in range(2):
        element = {"elements-0-frontal_image_url-file": file("front.png"), "nonce": "0123456789abcdef" * 2}
        browser_of_alice.post(KLING_IMAGE, with_an_element(**element))

    assert Generation.objects.count() == len(fal.log.posts()) == 1
    assert [upload.state for upload in Upload.objects.order_by("id")] == ["ready", "ready", "erased", "erased"]


def test_an_order_of_several_shots_stands_in_the_form_of_the_next(
    browser_of_alice: Client, alice: User, order: Any
) -> None:
    element = {"frontal_image_url": {"upload": str(brought(alice).pk)}}
    told = [{"prompt": "a fox wakes", "duration": "2"}, {"prompt": "it yawns", "duration": "1"}]
    start = "https://example.com/a.png"
    earlier = order("kling-3-pro-image", prompt=None, multi_prompt=told, start_image_url=start, elements=[element])

    again = browser_of_alice.get(f"{KLING_IMAGE}?like={earlier.pk}").text
    detail = browser_of_alice.get(page_of(earlier)).text

    assert "a fox wakes</textarea>" in again
    assert f'name="elements-0-frontal_image_url-kept" value="upload:{element["frontal_image_url"]["upload"]}"' in again
    assert "a fox wakes, 2\nit yawns, 1" in detail


def test_a_video_offers_to_go_on_from_it_where_it_is_short_enough(
    browser_of_alice: Client, order: Any, fal: Simulator
) -> None:
    short, long = (Work().to_the_end(order("wan-2.7", prompt="waves", duration=seconds)) for seconds in (2, 11))
    clip = short.outputs.get().pk

    assert f"{WAN}?output={clip}" in browser_of_alice.get(page_of(short)).text
    assert WAN not in browser_of_alice.get(page_of(long)).text
    assert f'name="video_url-kept" value="output:{clip}" checked' in browser_of_alice.get(f"{WAN}?output={clip}").text
