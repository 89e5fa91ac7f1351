"""Sounds and videos that a generation works on: looked at before money moves, by address and as what was made here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credits import ledger
from credits.models import Account, Hold
from generations.models import Generation, Output
from generations.provider import clients
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, order
from tests.fixtures.uploads import read_url
from tests.helpers.background_work import Work
from tests.helpers.images import ready_upload, stored_bytes

__all__ = ["order"]
pytestmark = pytest.mark.django_db(transaction=True)
ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "sound": ("fal-ai/stable-audio-25/text-to-audio", {"prompt": "rain", "seconds_total": 3}),
    "long sound": ("fal-ai/stable-audio-25/text-to-audio", {"prompt": "rain", "seconds_total": 31}),
    "short sound": ("fal-ai/stable-audio-25/text-to-audio", {"prompt": "rain", "seconds_total": 1}),
    "video": ("fal-ai/wan/v2.7/text-to-video", {"prompt": "waves", "duration": 2}),
    "picture": ("fal-ai/flux/schnell", {"prompt": "a fox", "image_size": "square"}),
}


@pytest.fixture(autouse=True)
def credits_for_videos(alice: User) -> None:
    ledger.grant(Account.objects.for_user(alice), 100_000, key="for videos", actor="test")


@pytest.fixture
def at_fal(fal: Simulator) -> Callable[[str], str]:
    """The address of something that fal made for somebody."""

    def address(what: str) -> str:
        endpoint, arguments = ENDPOINTS[what]
        before = len(fal.log.files())
        clients.fal().submit(endpoint, arguments, webhook_url="", start_timeout_seconds=60)
        assert fal.wait_until(lambda: len(fal.log.files()) > before)
        return f"{fal.url}{fal.log.files()[-1].path}"

    return address


@pytest.fixture
def made(order: Callable[..., Generation], fal: Simulator) -> Callable[..., Output]:
    """A file that was made for Alice: `made("wan-2.7", duration=2)`."""
    return lambda slug, **inputs: Work().to_the_end(order(slug, **inputs)).outputs.get()


def wan(**inputs: Any) -> dict[str, Any]:
    slug = "wan-2.7-image" if {"image_url", "video_url"} & inputs.keys() else "wan-2.7"
    return {"model": slug, "input": {"prompt": "it goes on", "duration": 2, **inputs}}


def told(answer: Any) -> list[tuple[list[Any], str]]:
    assert answer.status_code == 422, answer.content
    assert not Hold.objects.filter(settled_at=None).exists()
    return [(error["loc"], error["type"]) for error in answer.json()["errors"]]


def test_a_video_is_made_to_a_sound_at_a_public_address(
    api: APIClient, fal: Simulator, at_fal: Callable[[str], str]
) -> None:
    sound = at_fal("sound")

    answer = api.post(GENERATIONS, wan(audio_url=sound))

    assert answer.status_code == 202, answer.content
    assert fal.log.accepted()[-1].inputs["audio_url"] == sound


@pytest.mark.parametrize(
    "what, kind",
    [
        ("long sound", "audio_duration_too_long"),
        ("short sound", "audio_duration_too_short"),
        ("video", "audio_load_error"),
        ("picture", "audio_load_error"),
    ],
)
def test_a_sound_that_will_not_do_is_told_before_anything_is_held(
    what: str, kind: str, api: APIClient, at_fal: Callable[[str], str]
) -> None:
    assert told(api.post(GENERATIONS, wan(audio_url=at_fal(what)))) == [(["input", "audio_url"], kind)]


@pytest.mark.usefixtures("either")
def test_a_video_goes_on_from_one_that_was_made_here(
    api: APIClient, made: Callable[..., Output], fal: Simulator, settings
) -> None:
    settings.SITE_URL = "http://testserver"
    clip = made("wan-2.7", duration=2)

    body = api.post(GENERATIONS, wan(video_url={"output": str(clip.pk)})).json()

    assert (body["parent"], body["sources"][0]["path"]) == (str(clip.generation_id), "video_url")
    assert read_url(fal.log.accepted()[-1].inputs["video_url"]) == stored_bytes(clip.key)


def test_a_video_that_goes_on_is_made_to_the_end(api: APIClient, made: Callable[..., Output]) -> None:
    body = api.post(GENERATIONS, wan(video_url={"output": str(made("wan-2.7", duration=2).pk)})).json()

    generation = Work().to_the_end(Generation.objects.get(pk=body["id"]))

    assert (generation.status, generation.captured) == ("completed", 150 * 2)


@pytest.mark.parametrize(
    "changes, kind",
    [
        ({"kind": "image"}, "not_a_video"),
        ({"duration_seconds": 10.5}, "video_duration_too_long"),
        ({"size_bytes": 51 * 1024**2}, "file_too_large"),
    ],
)
def test_an_output_that_will_not_do_is_told_by_what_is_known_of_it(
    changes: dict[str, Any], kind: str, api: APIClient, made: Callable[..., Output]
) -> None:
    clip = made("wan-2.7", duration=2)
    Output.objects.update(**changes)

    answer = api.post(GENERATIONS, wan(video_url={"output": str(clip.pk)}))

    assert told(answer) == [(["input", "video_url"], kind)]


def test_a_format_that_the_model_does_not_take_is_told(api: APIClient, made: Callable[..., Output]) -> None:
    sound = made("stable-audio-2.5", seconds_total=3)
    Output.objects.update(content_type="audio/ogg")

    answer = api.post(GENERATIONS, wan(audio_url={"output": str(sound.pk)}))

    assert told(answer) == [(["input", "audio_url"], "unsupported_audio_format")]


def test_an_upload_is_a_picture_and_no_sound(api: APIClient, alice: User) -> None:
    answer = api.post(GENERATIONS, wan(audio_url={"upload": str(ready_upload(alice).pk)}))

    assert told(answer) == [(["input", "audio_url"], "not_a_sound")]


def kling(*elements: Any) -> dict[str, Any]:
    wish = {"prompt": "@Element1 waves", "start_image_url": elements[0]["frontal_image_url"], "elements": elements}
    return {"model": "kling-3-pro-image", "input": wish}


@pytest.mark.usefixtures("either")
def test_the_pictures_of_an_element_are_signed_for_fal_like_any_other(
    api: APIClient, alice: User, fal: Simulator, settings
) -> None:
    settings.SITE_URL = "http://testserver"
    front, side = ready_upload(alice), ready_upload(alice)
    element = {"frontal_image_url": {"upload": str(front.pk)}, "reference_image_urls": [{"upload": str(side.pk)}]}

    answer = api.post(GENERATIONS, kling(element))

    assert answer.status_code == 202, answer.content
    (sent,) = fal.log.accepted()[-1].inputs["elements"]
    assert read_url(sent["frontal_image_url"]) == stored_bytes(front.key)
    assert read_url(sent["reference_image_urls"][0]) == stored_bytes(side.key)
    assert "elements[0].reference_image_urls[0]" in [source["path"] for source in answer.json()["sources"]]


def test_a_picture_inside_an_element_is_looked_at_as_well(api: APIClient, alice: User, fal: Simulator) -> None:
    element = {
        "frontal_image_url": {"upload": str(ready_upload(alice).pk)},
        "reference_image_urls": [f"{fal.url}/none.png"],
    }

    answer = api.post(GENERATIONS, kling(element))

    assert told(answer) == [(["input", "elements", 0, "reference_image_urls", 0], "file_download_error")]


def test_somebody_elses_picture_inside_an_element_does_not_exist(api: APIClient, alice: User, bob: User) -> None:
    element = {"frontal_image_url": {"upload": str(ready_upload(alice).pk)}, "reference_image_urls": []}
    theirs = {"frontal_image_url": {"upload": str(ready_upload(bob).pk)}}

    answer = api.post(GENERATIONS, kling({**element, "reference_image_urls": None}, theirs))

    assert told(answer) == [(["input", "elements", 1, "frontal_image_url"], "not_found")]


def test_a_video_of_several_shots_is_held_and_charged_for_their_seconds(api: APIClient, fal: Simulator) -> None:
    shots = [{"prompt": "a fox wakes", "duration": "2"}, {"prompt": "it yawns", "duration": "1"}]

    body = api.post(GENERATIONS, {"model": "kling-3-pro", "input": {"multi_prompt": shots}}).json()
    made = Work().to_the_end(Generation.objects.get(pk=body["id"]))

    assert (made.status, made.captured) == ("completed", 168 * 3)
    assert fal.log.accepted()[-1].inputs["duration"] == "3"
    assert fal.log.accepted()[-1].inputs["multi_prompt"] == shots
