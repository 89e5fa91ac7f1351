"""A video of several shots, with characters that stay the same: what goes together, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from generations.catalogue import InvalidInput, find
from generations.catalogue.files import find_file_inputs, replace_at
from tests.generations.catalogue.example_orders import CLIP, IMAGE, SOUND

pytestmark = pytest.mark.once
KLING, KLING_IMAGE, WAN = find("kling-3-pro"), find("kling-3-pro-image"), find("wan-2.7-image")


def shots(*durations: str) -> list[dict[str, str]]:
    return [{"prompt": "a fox", "duration": duration} for duration in durations]


def refusal(model: Any, **wish: Any) -> list[tuple[list[Any], str]]:
    with pytest.raises(InvalidInput) as refused:
        model.read(wish)
    return [(error["loc"], error["msg"]) for error in refused.value.errors]


def test_a_video_of_several_shots_costs_the_seconds_of_all_of_them() -> None:
    inputs = KLING.read({"multi_prompt": shots("3", "4"), "generate_audio": False})

    assert KLING.credits(inputs) == 112 * 7
    assert KLING.arguments(inputs)["duration"] == "7"


def test_what_fal_is_told_reads_the_same_again() -> None:
    sent = KLING.arguments(KLING.read({"multi_prompt": [{"prompt": "a fox"}, *shots("4")]}))

    assert KLING.arguments(KLING.read(sent)) == sent
    assert (sent["duration"], sent["multi_prompt"][0]["duration"]) == ("9", "5")


def test_a_duration_that_is_not_the_shots_is_refused_and_the_right_one_is_told() -> None:
    assert refusal(KLING, multi_prompt=shots("3", "4"), duration="5") == [
        (["duration"], "The shots last 7 seconds together: say so here, or leave this out.")
    ]
    assert KLING.read({"multi_prompt": shots("3", "4"), "duration": "7"})


@pytest.mark.parametrize("durations", [("1",), ("8", "8")])
def test_shots_that_are_too_short_or_too_long_together_are_refused(durations: tuple[str, ...]) -> None:
    ((loc, words),) = refusal(KLING, multi_prompt=shots(*durations))

    assert loc == ["multi_prompt"]
    assert "together; a video has 3 to 15." in words


@pytest.mark.parametrize("wish", [{}, {"prompt": None}, {"prompt": "a fox", "multi_prompt": shots("3")}])
def test_either_a_prompt_or_shots(wish: dict[str, Any]) -> None:
    ((loc, words),) = refusal(KLING, **wish)

    assert loc == ["prompt"]
    assert words.startswith("Give prompt or multi_prompt")


SIDES = {"reference_image_urls": [IMAGE]}


@pytest.mark.parametrize(
    "element, why",
    [
        ({}, "Give frontal_image_url or video_url."),
        ({"frontal_image_url": IMAGE, "video_url": CLIP}, "Give frontal_image_url or video_url, not both."),
        (
            {"video_url": CLIP, "reference_image_urls": [IMAGE]},
            "reference_image_urls goes with frontal_image_url only.",
        ),
    ],
)
def test_an_element_is_shown_by_pictures_or_by_a_video(element: dict[str, Any], why: str) -> None:
    ((loc, words),) = refusal(KLING_IMAGE, prompt="@Element1", start_image_url=IMAGE, elements=[element])

    assert (loc[:2], words) == (["elements", 0], why)


def test_a_video_goes_on_from_a_picture_or_from_a_video() -> None:
    assert WAN.arguments(WAN.read({"video_url": CLIP}))["video_url"] == CLIP
    assert refusal(WAN) == [(["image_url"], "Give image_url or video_url.")]
    assert refusal(WAN, image_url=IMAGE, video_url=CLIP) == [(["image_url"], "Give image_url or video_url, not both.")]
    assert refusal(WAN, video_url=CLIP, audio_url=SOUND) == [(["audio_url"], "audio_url goes with image_url only.")]


def test_every_file_is_found_wherever_it_stands() -> None:
    elements = [{"video_url": CLIP}, {"frontal_image_url": IMAGE, "reference_image_urls": [IMAGE, IMAGE]}]
    inputs = KLING_IMAGE.read({"prompt": "@Element1", "start_image_url": IMAGE, "elements": elements})

    found = {
        place.path: place.requirements.kind
        for place in find_file_inputs(KLING_IMAGE.schema, KLING_IMAGE.arguments(inputs))
    }

    assert found == {
        "start_image_url": "image",
        "elements[0].video_url": "video",
        "elements[1].frontal_image_url": "image",
        "elements[1].reference_image_urls[0]": "image",
        "elements[1].reference_image_urls[1]": "image",
    }


def test_an_address_is_put_where_its_place_says() -> None:
    inputs = {"elements": [{"reference_image_urls": ["old", "old"]}]}

    replace_at(inputs, "elements[0].reference_image_urls[1]", "new")

    assert inputs == {"elements": [{"reference_image_urls": ["old", "new"]}]}


@pytest.mark.parametrize("path", ["elements[1].video_url", "elements[0].nothing", "prompt[0]", "nothing"])
def test_what_is_no_place_is_not_written_to(path: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        replace_at({"prompt": None, "elements": [{"video_url": "old"}]}, path, "new")
