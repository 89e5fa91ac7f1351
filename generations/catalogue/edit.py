"""Models that change pictures by words: one to several go in, and the prompt says what shall become of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from generations.catalogue import image
from generations.catalogue.declaration import Inputs, Model
from generations.catalogue.fields import Prompt
from generations.catalogue.files import ImageUrl
from generations.catalogue.prices import MEGAPIXELS, by_formula
from generations.catalogue.sizes import size_of

AutoRatio = Literal["auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"]
AUTO_RATIO: Any = Field(default="auto", description="“auto” keeps that of the picture.")
HOW_MANY_UNSURE = "how many pictures it takes at most"


def pictures(at_most: int) -> Any:
    """The input of several pictures."""
    return Field(
        min_length=1,
        max_length=at_most,
        description=f"The pictures to work on, 1 to {at_most}.",
        json_schema_extra={"x-widget": "images"},
    )


# What is common to all stands in the last base, so that a form begins with it.


class UpToTen(Inputs):
    prompt: Prompt
    image_urls: list[ImageUrl] = pictures(10)


class NanoBananaEdit(image.NanoBanana, UpToTen):
    aspect_ratio: AutoRatio = AUTO_RATIO  # type: ignore[assignment]  # "auto" is for edits alone


NANO_BANANA_EDIT = Model(
    slug="nano-banana-edit",
    endpoint="fal-ai/nano-banana/edit",
    title="Nano Banana, edit",
    summary="Change a picture, or put several together, by saying how.",
    kind="image",
    inputs=NanoBananaEdit,
    output=image.NANO_BANANA.output,
    price=image.NANO_BANANA.price,
    typical_seconds=12,
    unsure=("the price is quoted in code of 2026, not seen on fal's page", HOW_MANY_UNSURE),
)


class UpToFourteen(Inputs):
    prompt: Prompt
    image_urls: list[ImageUrl] = pictures(14)


class NanoBananaProEdit(image.NanoBananaPro, UpToFourteen):
    aspect_ratio: AutoRatio = AUTO_RATIO


NANO_BANANA_PRO_EDIT = Model(
    slug="nano-banana-pro-edit",
    endpoint="fal-ai/nano-banana-pro/edit",
    title="Nano Banana Pro, edit",
    summary="Change a picture with care for its text and detail, up to 4K.",
    kind="image",
    inputs=NanoBananaProEdit,
    output=image.NANO_BANANA_PRO.output,
    price=image.NANO_BANANA_PRO.price,
    typical_seconds=25,
    unsure=(HOW_MANY_UNSURE, image.LIMIT_UNSURE),
)


class UpToFour(Inputs):
    prompt: Prompt
    image_urls: list[ImageUrl] = pictures(4)


class Flux2Edit(image.Flux2, UpToFour):
    pass


def _flux_2_edit_credits(inputs: Any) -> int:
    size = size_of(inputs)
    made = size.megapixels_started * inputs.num_images if size else inputs.num_images
    credits: int = 12 * (made + len(inputs.image_urls))
    return credits


FLUX_2_EDIT = Model(
    slug="flux-2-edit",
    endpoint="fal-ai/flux-2/edit",
    title="FLUX.2, edit",
    summary="Change up to four pictures by saying how; quick and cheap.",
    kind="image",
    inputs=Flux2Edit,
    output=image.FLUX_2.output,
    price=by_formula(
        _flux_2_edit_credits,
        words="12 credits a started megapixel of each image that is made, and 12 for each that goes in",
        unit=MEGAPIXELS,
        unit_formula=lambda inputs: 12,
    ),
    typical_seconds=12,
    unsure=(
        image.MEGAPIXEL_UNSURE,
        "the price: fal's page for this endpoint was not at hand. Its siblings bill what goes in and what comes out; "
        "a picture that goes in is reckoned as one megapixel",
        HOW_MANY_UNSURE,
    ),
)
