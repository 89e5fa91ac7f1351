"""Nested inputs: videos of several shots with recurring elements, and the files within."""

from __future__ import annotations

from typing import Any

import pytest

from generations.catalogue import InvalidInput, Model, find
from generations.catalogue.files import find_file_inputs, replace_at
from tests.generations.catalogue.example_orders import AUDIO, IMAGE, VIDEO

pytestmark = pytest.mark.once
KLING, KLING_IMAGE, WAN = find("kling-3-pro"), find("kling-3-pro-image"), find("wan-2.7-image")


def shots(*durations: str) -> list[dict[str, str]]:
    return [{"prompt": "a fox", "duration": duration} for duration in durations]


def errors(model: Model, **inputs: Any) -> list[tuple[list[Any], str]]:
    """The location and the message of each error."""
    with pytest.raises(InvalidInput) as refusal:
        model.read(inputs)
    return [(error["loc"], error["msg"]) for error in refusal.value.errors]


def test_a_video_of_several_shots_costs_the_seconds_of_all_of_them() -> None:
    inputs = KLING.read({"multi_prompt": shots("3", "4"), "generate_audio": False})

    assert KLING.credits(inputs) == 112 * 7
    assert KLING.arguments(inputs)["duration"] == "7"


def test_the_arguments_of_an_order_are_valid_inputs() -> None:
    sent = KLING.arguments(KLING.read({"multi_prompt": [{"prompt": "a fox"}, *shots("4")]}))

    assert KLING.arguments(KLING.read(sent)) == sent
    assert (sent["duration"], sent["multi_prompt"][0]["duration"]) == ("9", "5")


def test_a_duration_must_be_that_of_the_shots() -> None:
    assert errors(KLING, multi_prompt=shots("3", "4"), duration="5") == [
        (["duration"], "The shots add up to 7 seconds. Give that number or leave it out.")
    ]
    assert KLING.read({"multi_prompt": shots("3", "4"), "duration": "7"})


def test_shots_add_up_to_a_length_that_a_video_may_have() -> None:
    for durations, seconds in ((("1",), 1), (("8", "8"), 16)):
        assert errors(KLING, multi_prompt=shots(*durations)) == [
            (["multi_prompt"], f"The shots add up to {seconds} seconds; a video lasts 3 to 15 seconds.")
        ]


def test_a_video_has_either_a_prompt_or_shots() -> None:
    assert errors(KLING) == errors(KLING, prompt=None) == [(["prompt"], "Give prompt or multi_prompt.")]
    assert errors(KLING, prompt="a fox", multi_prompt=shots("3")) == [
        (["prompt"], "Give prompt or multi_prompt, not both.")
    ]


def test_an_element_is_shown_by_images_or_by_a_video() -> None:
    expected = [
        ({}, "Give frontal_image_url or video_url."),
        ({"frontal_image_url": IMAGE, "video_url": VIDEO}, "Give frontal_image_url or video_url, not both."),
        (
            {"video_url": VIDEO, "reference_image_urls": [IMAGE]},
            "reference_image_urls can only be used together with frontal_image_url.",
        ),
    ]

    for element, message in expected:
        ((loc, said),) = errors(KLING_IMAGE, prompt="@Element1", start_image_url=IMAGE, elements=[element])
        assert (loc[:2], said) == (["elements", 0], message)


def test_a_video_begins_with_an_image_or_continues_a_video() -> None:
    assert WAN.arguments(WAN.read({"video_url": VIDEO}))["video_url"] == VIDEO
    assert errors(WAN) == [(["image_url"], "Give image_url or video_url.")]
    assert errors(WAN, image_url=IMAGE, video_url=VIDEO) == [(["image_url"], "Give image_url or video_url, not both.")]
    assert errors(WAN, video_url=VIDEO, audio_url=AUDIO) == [
        (["audio_url"], "audio_url can only be used together with image_url.")
    ]


# --- Files ---


def test_every_file_is_found_with_its_path() -> None:
    elements = [{"video_url": VIDEO}, {"frontal_image_url": IMAGE, "reference_image_urls": [IMAGE, IMAGE]}]
    inputs = KLING_IMAGE.read({"prompt": "@Element1", "start_image_url": IMAGE, "elements": elements})

    files = find_file_inputs(KLING_IMAGE.schema, KLING_IMAGE.arguments(inputs))

    assert {file.path: file.requirements.kind for file in files} == {
        "start_image_url": "image",
        "elements[0].video_url": "video",
        "elements[1].frontal_image_url": "image",
        "elements[1].reference_image_urls[0]": "image",
        "elements[1].reference_image_urls[1]": "image",
    }


def test_a_value_is_replaced_at_its_path() -> None:
    inputs = {"elements": [{"reference_image_urls": ["old", "old"]}]}

    replace_at(inputs, "elements[0].reference_image_urls[1]", "new")

    assert inputs == {"elements": [{"reference_image_urls": ["old", "new"]}]}


def test_nothing_is_added_at_a_path_without_a_value() -> None:
    inputs = {"prompt": None, "elements": [{"video_url": "old"}]}

    for path in ("elements[1].video_url", "elements[0].nothing", "prompt[0]", "nothing"):
        with pytest.raises(ValueError, match="no value at"):
            replace_at(inputs, path, "new")
    assert inputs == {"prompt": None, "elements": [{"video_url": "old"}]}
