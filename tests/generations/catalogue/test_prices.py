"""Prices, worked out by hand from fal's price list, and the sizes and durations that they depend on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from generations.catalogue import MODELS, find
from generations.catalogue.prices import by_formula, per_image, per_megapixel, per_second
from generations.catalogue.sizes import Size, duration_seconds_of, size_of
from tests.generations.catalogue.example_orders import IMAGE

pytestmark = pytest.mark.once

FOX = {"prompt": "a fox"}
FROM_IMAGE = {"image_url": IMAGE}
SQUARE_2048 = {"width": 2048, "height": 2048}
CREDITS: dict[str, list[tuple[dict[str, Any], int]]] = {
    # $0.003 per megapixel, rounded up: 1024 x 768 is one megapixel, 1024 x 1024 are two.
    "flux-schnell": [
        (FOX, 3),
        (FOX | {"image_size": "square"}, 3),
        (FOX | {"image_size": "square_hd"}, 6),
        (FOX | {"image_size": "square_hd", "num_images": 4}, 24),
        (FOX | {"image_size": {"width": 1000, "height": 1000}}, 3),
        (FOX | {"image_size": {"width": 1000, "height": 1008}}, 6),
        (FOX | {"image_size": SQUARE_2048, "num_images": 2}, 30),
    ],
    # $0.15 per image, twice that in 4K, $0.015 more with web search.
    "nano-banana-pro": [
        (FOX, 150),
        (FOX | {"resolution": "2K"}, 150),
        (FOX | {"resolution": "4K"}, 300),
        (FOX | {"enable_web_search": True}, 165),
        (FOX | {"resolution": "4K", "enable_web_search": True, "num_images": 4}, 1260),
    ],
    # $0.025 and $0.012 per megapixel, $0.06 and $0.039 per image, $0.03 and $0.015 per further megapixel.
    "flux-dev": [(FOX | {"image_size": "square", "num_images": 2}, 50)],
    "flux-2": [(FOX, 12)],
    "flux-1.1-ultra": [(FOX | {"num_images": 3}, 180)],
    "nano-banana": [(FOX | {"num_images": 2}, 78)],
    "flux-2-pro": [(FOX, 30), (FOX | {"image_size": {"width": 2048, "height": 1024}}, 60)],
    "fast-sdxl": [(FOX, 3)],
    # $0.20 per second, $0.40 with audio; the fast variant $0.10 and $0.15, in 4K $0.30 and $0.35.
    "veo3.1": [
        (FOX, 3200),
        (FOX | {"duration": "4s", "generate_audio": False, "resolution": "4k"}, 1600),
    ],
    "veo3.1-image": [(FOX | FROM_IMAGE | {"duration": "4s"}, 1600)],
    "veo3.1-fast": [
        (FOX, 1200),
        (FOX | {"duration": "4s", "generate_audio": False}, 400),
        (FOX | {"duration": "6s", "resolution": "1080p"}, 900),
        (FOX | {"duration": "4s", "resolution": "4k", "generate_audio": False}, 1200),
        (FOX | {"resolution": "4k"}, 2800),
    ],
    "veo3.1-fast-image": [(FOX | FROM_IMAGE, 1200)],
    # $0.112 per second, $0.168 with audio; $0.10, $0.15 in 1080p; $0.08 to $0.32 by resolution.
    "kling-3-pro": [(FOX, 840), (FOX | {"duration": "15", "generate_audio": False}, 1680)],
    "kling-3-pro-image": [(FOX | {"start_image_url": IMAGE}, 840)],
    "wan-2.7": [(FOX | {"duration": 2}, 200)],
    "wan-2.7-image": [(FOX | FROM_IMAGE, 750), (FOX | FROM_IMAGE | {"resolution": "720p"}, 500)],
    "ltx-2.3": [(FOX, 480), (FOX | {"resolution": "2160p", "duration": 10}, 3200)],
    "ltx-2.3-image": [(FOX | FROM_IMAGE | {"resolution": "1440p"}, 720)],
    # $0.20 without texture, $0.30 with, $0.40 in HD; $0.05 more with quads.
    "tripo-v2.5": [
        (FROM_IMAGE, 300),
        (FROM_IMAGE | {"texture": "no"}, 200),
        (FROM_IMAGE | {"texture": "HD", "quad": True, "pbr": True}, 450),
        (FROM_IMAGE | {"texture": "no", "quad": True}, 250),
    ],
    # The same, and $0.20 more for detailed geometry; P1 $0.40, $0.50 with texture.
    "tripo-h3.1": [
        (FROM_IMAGE, 300),
        (FROM_IMAGE | {"texture": False}, 200),
        (FROM_IMAGE | {"texture_quality": "detailed", "geometry_quality": "detailed", "quad": True}, 650),
    ],
    "tripo-p1": [(FROM_IMAGE, 500), (FROM_IMAGE | {"texture": False}, 400)],
    # $0.10 per 1,000 characters, $0.20 per piece of music.
    "eleven-v3": [({"text": "a" * 1000}, 100), ({"text": "a" * 1001}, 101), ({"text": "a"}, 1)],
    "stable-audio-2.5": [(FOX | {"seconds_total": 190}, 200)],
    # $0.03 per megapixel of the result, for an input of two megapixels.
    "clarity-upscaler": [
        (FROM_IMAGE, 240),
        (FROM_IMAGE | {"upscale_factor": 4}, 960),
        (FROM_IMAGE | {"upscale_factor": 1.5}, 150),
    ],
    "birefnet-v2": [(FROM_IMAGE, 5)],
}


@pytest.mark.parametrize("slug", CREDITS)
def test_a_price_is_that_of_fals_list(slug: str) -> None:
    model = find(slug)

    assert [model.credits(model.read(raw)) for raw, _ in CREDITS[slug]] == [credits for _, credits in CREDITS[slug]]


def test_presets_have_increasing_prices_and_face_limits() -> None:
    prices = {"tripo-v2.5": [200, 300, 400], "tripo-h3.1": [200, 300, 400], "tripo-p1": [400, 500, 500]}
    assert set(prices) == {model.slug for model in MODELS.values() if model.kind == "3d"}

    for model in map(find, prices):
        presets = [model.read(FROM_IMAGE, preset=preset) for preset in ("draft", "standard", "high")]
        faces = [inputs.model_dump()["face_limit"] for inputs in presets]

        assert [model.credits(inputs) for inputs in presets] == prices[model.slug]
        assert 1_000 <= faces[0] < faces[1] < faces[2] <= 100_000


def test_a_price_has_a_description_and_a_price_of_one_unit() -> None:
    """`sync_prices` compares the unit price with the one that fal's pricing API names."""
    for model in MODELS.values():
        assert "credits" in model.price.description
        assert model.price.unit
        assert model.unit_price_millidollars > 0


def test_a_percentage_of_a_price_is_rounded_up() -> None:
    model = find("flux-schnell")
    inputs = model.read(FOX)
    expected = {100: 3, 0: 0, 1: 1, 99: 3, 101: 4, 150: 5, 200: 6, 10_000: 300}

    assert {percent: model.price.at(percent).credits(inputs) for percent in expected} == expected
    assert model.price.at(150).list_price_millidollars(inputs) == 3
    assert model.price.at(150).description == f"{model.price.list_description}; currently 150 % of that"
    assert model.price.at(100).description == model.price.list_description


def test_a_negative_price_is_an_error_of_the_declaration() -> None:
    wrong = by_formula(lambda inputs: -1, description="minus one credit")

    with pytest.raises(ValueError, match=r"negative \(-1\): minus one credit"):
        wrong.credits(None)


def test_a_price_whose_inputs_do_not_tell_the_quantity_is_an_error_of_the_declaration() -> None:
    for price, lacking in ((per_megapixel(3), "the size"), (per_second(lambda inputs: 1, description=""), "duration")):
        with pytest.raises(ValueError, match=f"needs inputs that tell .*{lacking}"):
            price.credits(SimpleNamespace())


def test_a_model_without_a_number_of_images_makes_one() -> None:
    price = per_image(40)

    assert (price.credits(SimpleNamespace()), price.description) == (40, "40 credits per image")


# --- Sizes and durations ---


def test_the_size_follows_from_named_sizes_ratios_and_resolutions() -> None:
    expected: list[tuple[dict[str, str], Size | None]] = [
        ({"image_size": "landscape_16_9"}, Size(1024, 576)),
        ({"image_size": "portrait_4_3"}, Size(768, 1024)),
        ({"aspect_ratio": "16:9", "resolution": "720p"}, Size(1280, 720)),
        ({"aspect_ratio": "9:16", "resolution": "1080p"}, Size(1080, 1920)),
        ({"aspect_ratio": "16:9", "resolution": "4k"}, Size(3840, 2160)),
        ({"aspect_ratio": "1:1", "resolution": "2K"}, Size(2048, 2048)),
        ({"aspect_ratio": "auto", "resolution": "1K"}, Size(1024, 1024)),
        ({"aspect_ratio": "16:9", "resolution": "1K"}, Size(1366, 768)),
        ({"aspect_ratio": "16:9"}, None),
        ({"resolution": "1K"}, None),
        ({}, None),
    ]

    for inputs, size in expected:
        assert size_of(SimpleNamespace(**inputs)) == size, inputs


def test_megapixels_are_rounded_up() -> None:
    sizes = (Size(1, 1), Size(1000, 1000), Size(1001, 1000), Size(2048, 2048))

    assert [size.billed_megapixels for size in sizes] == [1, 1, 2, 5]


def test_the_duration_is_read_in_all_of_fals_forms() -> None:
    expected = {"8s": 8, "5": 5, 5: 5, "auto": None, "": None, "-1s": None}

    assert {said: duration_seconds_of(SimpleNamespace(duration=said)) for said in expected} == expected
    assert duration_seconds_of(SimpleNamespace()) is None
