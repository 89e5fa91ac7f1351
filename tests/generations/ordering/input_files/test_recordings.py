"""Audio, video and nested images as input files: checked before anything is held, by URL and as outputs of Limn."""

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
from generations.safe_http import client as http_client
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, order
from tests.fixtures.uploads import read_url
from tests.helpers.background_work import Work
from tests.helpers.images import ready_upload, stored_bytes

__all__ = ["order"]
pytestmark = pytest.mark.django_db(transaction=True)
ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "audio": ("fal-ai/stable-audio-25/text-to-audio", {"prompt": "rain", "seconds_total": 3}),
    "long audio": ("fal-ai/stable-audio-25/text-to-audio", {"prompt": "rain", "seconds_total": 31}),
    "short audio": ("fal-ai/stable-audio-25/text-to-audio", {"prompt": "rain", "seconds_total": 1}),
    # Speech is MP3 audio, which does not prove its end.
    "speech": ("fal-ai/elevenlabs/tts/eleven-v3", {"text": "the quick brown fox " * 10}),
    "long speech": ("fal-ai/elevenlabs/tts/eleven-v3", {"text": "the quick brown fox " * 40}),
    "video": ("fal-ai/wan/v2.7/text-to-video", {"prompt": "waves", "duration": 2}),
    "image": ("fal-ai/flux/schnell", {"prompt": "a fox", "image_size": "square"}),
}
UrlAtFal = Callable[[str], str]
Generate = Callable[..., Output]


@pytest.fixture(autouse=True)
def credits_for_videos(alice: User) -> None:
    ledger.grant(Account.objects.for_user(alice), 100_000, key="for videos", actor="test")


@pytest.fixture
def url_at_fal(fal: Simulator) -> UrlAtFal:
    """`url_at_fal("audio")`: the URL of a file that fal has made for another customer."""

    def generate(what: str) -> str:
        endpoint, arguments = ENDPOINTS[what]
        before = len(fal.log.files())
        clients.fal().submit(endpoint, arguments, webhook_url="", start_timeout_seconds=60)
        assert fal.wait_until(lambda: len(fal.log.files()) > before)
        return f"{fal.url}{fal.log.files()[-1].path}"

    return generate


@pytest.fixture
def generate(order: Callable[..., Generation], fal: Simulator) -> Generate:
    """`generate("wan-2.7", duration=2)`: an output of Alice."""
    return lambda slug, **inputs: Work().until_done(order(slug, **inputs)).outputs.get()


def wan(**inputs: Any) -> dict[str, Any]:
    """The body of an order of a video."""
    slug = "wan-2.7-image" if {"image_url", "video_url"} & inputs.keys() else "wan-2.7"
    return {"model": slug, "input": {"prompt": "it goes on", "duration": 2, **inputs}}


def errors_of(answer: Any) -> list[tuple[list[Any], str]]:
    """The locations and codes of the errors of a refused order, for which nothing is held."""
    assert answer.status_code == 422, answer.content
    assert not Hold.objects.filter(settled_at=None).exists()
    return [(error["loc"], error["type"]) for error in answer.json()["errors"]]


def test_audio_at_a_public_url_is_accepted(api: APIClient, fal: Simulator, url_at_fal: UrlAtFal) -> None:
    url = url_at_fal("audio")

    answer = api.post(GENERATIONS, wan(audio_url=url))

    assert answer.status_code == 202, answer.content
    assert fal.log.accepted()[-1].inputs["audio_url"] == url


@pytest.mark.parametrize(
    "what, code",
    [
        ("long audio", "audio_duration_too_long"),
        ("short audio", "audio_duration_too_short"),
        ("video", "audio_load_error"),
        ("image", "audio_load_error"),
    ],
)
def test_audio_that_the_model_does_not_take_is_refused(
    what: str, code: str, api: APIClient, url_at_fal: UrlAtFal
) -> None:
    assert errors_of(api.post(GENERATIONS, wan(audio_url=url_at_fal(what)))) == [(["input", "audio_url"], code)]


def test_c5_audio_without_a_length_is_accepted_if_its_server_tells_the_length(
    api: APIClient, fal: Simulator, url_at_fal: UrlAtFal
) -> None:
    fal.script("cdn:nolen")
    answer = api.post(GENERATIONS, wan(audio_url=url_at_fal("speech")))

    assert answer.status_code == 202, answer.content


@pytest.mark.parametrize("fault", ["cdn:cut_nolen", "cdn:cut_untold", "cdn:untold"])
def test_c5_audio_that_may_be_cut_is_refused(fault: str, api: APIClient, fal: Simulator, url_at_fal: UrlAtFal) -> None:
    """The half that arrives of a recording that is too long is short enough."""
    fal.script(fault)
    answer = api.post(GENERATIONS, wan(audio_url=url_at_fal("speech" if fault == "cdn:untold" else "long speech")))

    assert errors_of(answer) == [(["input", "audio_url"], "file_download_error")]
    assert ("Content-Length" in answer.json()["errors"][0]["msg"]) is fault.endswith("untold")


@pytest.mark.parametrize("fault", ["cdn:cut_nolen", "cdn:cut_untold"])
def test_without_a_second_question_cut_audio_is_accepted(
    fault: str, api: APIClient, fal: Simulator, url_at_fal: UrlAtFal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr(http_client, "is_whole", lambda *args, **limits: True)
    fal.script(fault)

    assert api.post(GENERATIONS, wan(audio_url=url_at_fal("long speech"))).status_code == 202


@pytest.mark.usefixtures("each_storage")
def test_a_video_continues_an_output(api: APIClient, generate: Generate, fal: Simulator, settings) -> None:
    settings.SITE_URL = "http://testserver"
    clip = generate("wan-2.7", duration=2)

    body = api.post(GENERATIONS, wan(video_url={"output": str(clip.pk)})).json()

    assert (body["parent"], body["sources"][0]["path"]) == (str(clip.generation_id), "video_url")
    assert read_url(fal.log.accepted()[-1].inputs["video_url"]) == stored_bytes(clip.key)


def test_a_video_that_continues_an_output_is_completed_and_charged(api: APIClient, generate: Generate) -> None:
    body = api.post(GENERATIONS, wan(video_url={"output": str(generate("wan-2.7", duration=2).pk)})).json()

    generation = Work().until_done(Generation.objects.get(pk=body["id"]))

    assert (generation.status, generation.captured) == ("completed", 150 * 2)


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"kind": "image"}, "not_a_video"),
        ({"duration_seconds": 10.5}, "video_duration_too_long"),
        ({"size_bytes": 51 * 1024**2}, "file_too_large"),
    ],
)
def test_an_output_that_the_model_does_not_take_is_refused(
    changes: dict[str, Any], code: str, api: APIClient, generate: Generate
) -> None:
    """By what its row says: it is not fetched."""
    clip = generate("wan-2.7", duration=2)
    Output.objects.update(**changes)

    answer = api.post(GENERATIONS, wan(video_url={"output": str(clip.pk)}))

    assert errors_of(answer) == [(["input", "video_url"], code)]


def test_a_format_that_the_model_does_not_take_is_refused(api: APIClient, generate: Generate) -> None:
    audio = generate("stable-audio-2.5", seconds_total=3)
    Output.objects.update(content_type="audio/ogg")

    answer = api.post(GENERATIONS, wan(audio_url={"output": str(audio.pk)}))

    assert errors_of(answer) == [(["input", "audio_url"], "unsupported_audio_format")]


def test_an_upload_is_not_audio(api: APIClient, alice: User) -> None:
    answer = api.post(GENERATIONS, wan(audio_url={"upload": str(ready_upload(alice).pk)}))

    assert errors_of(answer) == [(["input", "audio_url"], "not_a_sound")]


# --- Files inside nested inputs ---


def kling(*elements: Any) -> dict[str, Any]:
    """The body of an order of a video that shows these elements."""
    inputs = {"prompt": "@Element1 waves", "start_image_url": elements[0]["frontal_image_url"], "elements": elements}
    return {"model": "kling-3-pro-image", "input": inputs}


@pytest.mark.usefixtures("each_storage")
def test_images_of_an_element_are_sent_as_urls(api: APIClient, alice: User, fal: Simulator, settings) -> None:
    settings.SITE_URL = "http://testserver"
    front, side = ready_upload(alice), ready_upload(alice)
    element = {"frontal_image_url": {"upload": str(front.pk)}, "reference_image_urls": [{"upload": str(side.pk)}]}

    answer = api.post(GENERATIONS, kling(element))

    assert answer.status_code == 202, answer.content
    (sent,) = fal.log.accepted()[-1].inputs["elements"]
    assert read_url(sent["frontal_image_url"]) == stored_bytes(front.key)
    assert read_url(sent["reference_image_urls"][0]) == stored_bytes(side.key)
    assert "elements[0].reference_image_urls[0]" in [source["path"] for source in answer.json()["sources"]]


def test_an_image_url_of_an_element_is_checked(api: APIClient, alice: User, fal: Simulator) -> None:
    upload = {"upload": str(ready_upload(alice).pk)}
    element = {"frontal_image_url": upload, "reference_image_urls": [f"{fal.url}/none.png"]}

    answer = api.post(GENERATIONS, kling(element))

    assert errors_of(answer) == [(["input", "elements", 0, "reference_image_urls", 0], "file_download_error")]


def test_g22_an_upload_of_another_user_in_an_element_does_not_exist(api: APIClient, alice: User, bob: User) -> None:
    element = {"frontal_image_url": {"upload": str(ready_upload(alice).pk)}, "reference_image_urls": None}
    of_bob = {"frontal_image_url": {"upload": str(ready_upload(bob).pk)}}

    answer = api.post(GENERATIONS, kling(element, of_bob))

    assert errors_of(answer) == [(["input", "elements", 1, "frontal_image_url"], "not_found")]


def test_a_video_of_several_shots_is_charged_by_their_seconds(api: APIClient, fal: Simulator) -> None:
    shots = [{"prompt": "a fox wakes", "duration": "2"}, {"prompt": "it yawns", "duration": "1"}]

    body = api.post(GENERATIONS, {"model": "kling-3-pro", "input": {"multi_prompt": shots}}).json()
    generation = Work().until_done(Generation.objects.get(pk=body["id"]))

    assert (generation.status, generation.captured) == ("completed", 168 * 3)
    assert fal.log.accepted()[-1].inputs["duration"] == "3"
    assert fal.log.accepted()[-1].inputs["multi_prompt"] == shots
