"""What an order costs, worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from generations.catalogue import MODELS, Model, find
from generations.catalogue.prices import by_formula, per_image, per_megapixel, per_second
from generations.catalogue.sizes import Size, duration_seconds_of, size_of
from tests.generations.catalogue.example_orders import IMAGE, every_wish, minimal

pytestmark = pytest.mark.once

FOX = {"prompt": "a fox"}
PICTURE = {"image_url": IMAGE}


@pytest.mark.parametrize(
    "slug, order, credits",
    [
        # 0.003 dollars a started megapixel: 1024 x 768 is one, 1024 x 1024 is already two.
        ("flux-schnell", FOX, 3),
        ("flux-schnell", FOX | {"image_size": "square"}, 3),
        ("flux-schnell", FOX | {"image_size": "square_hd"}, 6),
        ("flux-schnell", FOX | {"image_size": "square_hd", "num_images": 4}, 24),
        ("flux-schnell", FOX | {"image_size": {"width": 1000, "height": 1000}}, 3),
        ("flux-schnell", FOX | {"image_size": {"width": 1000, "height": 1008}}, 6),
        ("flux-schnell", FOX | {"image_size": {"width": 2048, "height": 2048}, "num_images": 2}, 30),
        # 0.15 dollars an image, double in 4K, 0.015 more with web search.
        ("nano-banana-pro", FOX, 150),
        ("nano-banana-pro", FOX | {"resolution": "2K"}, 150),
        ("nano-banana-pro", FOX | {"resolution": "4K"}, 300),
        ("nano-banana-pro", FOX | {"enable_web_search": True}, 165),
        ("nano-banana-pro", FOX | {"resolution": "4K", "enable_web_search": True, "num_images": 4}, 1260),
        # 0.10 dollars a second, 0.15 with sound; in 4K 0.30 and 0.35.
        ("veo3.1-fast", FOX, 1200),
        ("veo3.1-fast", FOX | {"duration": "4s", "generate_audio": False}, 400),
        ("veo3.1-fast", FOX | {"duration": "6s", "resolution": "1080p"}, 900),
        ("veo3.1-fast", FOX | {"duration": "4s", "resolution": "4k", "generate_audio": False}, 1200),
        ("veo3.1-fast", FOX | {"resolution": "4k"}, 2800),
        # What fal asks, in dollars: 0.025 and 0.012 a megapixel, 0.06 and 0.039 an image, 0.03 and 0.015 a further MP.
        ("flux-dev", FOX | {"image_size": "square", "num_images": 2}, 50),
        ("flux-2", FOX, 12),
        ("flux-1.1-ultra", FOX | {"num_images": 3}, 180),
        ("nano-banana", FOX | {"num_images": 2}, 78),
        ("flux-2-pro", FOX, 30),
        ("flux-2-pro", FOX | {"image_size": {"width": 2048, "height": 1024}}, 60),
        ("fast-sdxl", FOX, 3),
        # A second of video: 0.20, 0.40 with sound; 0.112, 0.168 with sound; 0.10; 0.08 to 0.32 by resolution.
        ("veo3.1", FOX, 3200),
        ("veo3.1", FOX | {"duration": "4s", "generate_audio": False, "resolution": "4k"}, 1600),
        ("veo3.1-image", FOX | PICTURE | {"duration": "4s"}, 1600),
        ("veo3.1-fast-image", FOX | PICTURE, 1200),
        ("kling-3-pro", FOX, 840),
        ("kling-3-pro", FOX | {"duration": "15", "generate_audio": False}, 1680),
        ("kling-3-pro-image", FOX | {"start_image_url": IMAGE}, 840),
        ("wan-2.7", FOX | {"duration": 2}, 200),
        ("wan-2.7-image", FOX | PICTURE, 750),
        ("wan-2.7-image", FOX | PICTURE | {"resolution": "720p"}, 500),
        ("ltx-2.3", FOX, 480),
        ("ltx-2.3", FOX | {"resolution": "2160p", "duration": 10}, 3200),
        ("ltx-2.3-image", FOX | PICTURE | {"resolution": "1440p"}, 720),
        # 0.20 dollars without texture, 0.30 with, 0.40 in HD; quads 0.05 more.
        ("tripo-v2.5", PICTURE, 300),
        ("tripo-v2.5", PICTURE | {"texture": "no"}, 200),
        ("tripo-v2.5", PICTURE | {"texture": "HD", "quad": True, "pbr": True}, 450),
        ("tripo-v2.5", PICTURE | {"texture": "no", "quad": True}, 250),
        # The same, 0.20 more for detailed geometry; and 0.40, 0.50 with texture.
        ("tripo-h3.1", PICTURE, 300),
        ("tripo-h3.1", PICTURE | {"texture": False}, 200),
        ("tripo-h3.1", PICTURE | {"texture_quality": "detailed", "geometry_quality": "detailed", "quad": True}, 650),
        ("tripo-p1", PICTURE, 500),
        ("tripo-p1", PICTURE | {"texture": False}, 400),
        # 0.10 a thousand characters, 0.20 a piece of music, 0.03 a megapixel of a picture of two.
        ("eleven-v3", {"text": "a" * 1000}, 100),
        ("eleven-v3", {"text": "a" * 1001}, 101),
        ("eleven-v3", {"text": "a"}, 1),
        ("stable-audio-2.5", FOX | {"seconds_total": 190}, 200),
        ("clarity-upscaler", PICTURE, 240),
        ("clarity-upscaler", PICTURE | {"upscale_factor": 4}, 960),
        ("clarity-upscaler", PICTURE | {"upscale_factor": 1.5}, 150),
        ("birefnet-v2", PICTURE, 5),
    ],
)
def test_a_price_is_what_one_works_out(slug: str, order: dict[str, Any], credits: int) -> None:
    model = find(slug)

    assert model.credits(model.read(order)) == credits


@pytest.mark.parametrize(
    "slug, prices", [("tripo-v2.5", [200, 300, 400]), ("tripo-h3.1", [200, 300, 400]), ("tripo-p1", [400, 500, 500])]
)
def test_a_preset_has_its_price(slug: str, prices: list[int]) -> None:
    model = find(slug)
    presets = ["draft", "standard", "high"]

    assert [model.credits(model.read(PICTURE, preset=preset)) for preset in presets] == prices


@pytest.mark.parametrize("model", [model for model in MODELS.values() if model.kind == "3d"], ids=lambda m: m.slug)
def test_every_3d_model_has_the_three_presets_in_order_of_their_faces(model: Model) -> None:
    faces = [model.read(PICTURE, preset=preset).face_limit for preset in ("draft", "standard", "high")]  # type: ignore[attr-defined]

    assert 1_000 <= faces[0] < faces[1] < faces[2] <= 100_000
    assert model.read(PICTURE | {"face_limit": 2_000}, preset="high").face_limit == 2_000  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_order_has_a_price_in_whole_credits(model: Model) -> None:
    """D9, D11."""
    for wish in every_wish(model):
        credits = model.credits(model.read(wish))

        assert type(credits) is int
        assert 0 < credits < 100_000


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_price_is_put_in_words(model: Model) -> None:
    assert "credits" in model.price.description
    assert str(model.credits(model.read(minimal(model))))[0].isdigit()


@pytest.mark.parametrize(
    "percent, credits", [(100, 3), (0, 0), (1, 1), (99, 3), (101, 4), (150, 5), (200, 6), (10_000, 300)]
)
def test_a_share_of_a_price_is_rounded_up(percent: int, credits: int) -> None:
    model = find("flux-schnell")
    price = model.price.at(percent)

    assert price.credits(model.read(FOX)) == credits
    assert price.list_price_millidollars(model.read(FOX)) == 3
    assert (f"{percent} % of that" in price.description) is (percent != 100)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_models_unit_has_a_price_of_its_own(model: Model) -> None:
    """What fal's pricing API names, and nothing but that: `sync_prices` compares the two."""
    assert model.unit_price_millidollars > 0
    assert model.price.unit


def test_a_negative_price_is_a_fault() -> None:
    wrong = by_formula(lambda inputs: -1, description="one credit, given away")

    with pytest.raises(ValueError, match="never negative, and this one is -1: one credit, given away"):
        wrong.credits(None)


@pytest.mark.parametrize(
    "price, lacks",
    [(per_megapixel(3), "needs a size"), (per_second(lambda inputs: 1, description=""), "needs a duration")],
)
def test_a_price_that_lacks_its_measure_is_a_fault(price: Any, lacks: str) -> None:
    with pytest.raises(ValueError, match=lacks):
        price.credits(SimpleNamespace())


def test_a_price_an_image_is_for_one_where_no_number_is_asked() -> None:
    price = per_image(40)

    assert (price.credits(SimpleNamespace()), price.description) == (40, "40 credits an image")


# --- Sizes ---


@pytest.mark.parametrize(
    "asked, size",
    [
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
    ],
    ids=str,
)
def test_an_order_says_how_many_pixels(asked: dict[str, str], size: Size | None) -> None:
    assert size_of(SimpleNamespace(**asked)) == size


@pytest.mark.parametrize(
    "size, megapixels", [(Size(1, 1), 1), (Size(1000, 1000), 1), (Size(1001, 1000), 2), (Size(2048, 2048), 5)]
)
def test_a_megapixel_counts_once_it_is_started(size: Size, megapixels: int) -> None:
    assert size.billed_megapixels == megapixels


@pytest.mark.parametrize(
    "asked, seconds", [("8s", 8), ("5", 5), (5, 5), ("auto", None), ("", None), ("-1s", None)], ids=repr
)
def test_an_order_says_how_many_seconds(asked: Any, seconds: float | None) -> None:
    assert duration_seconds_of(SimpleNamespace(duration=asked)) == seconds
    assert duration_seconds_of(SimpleNamespace()) is None
