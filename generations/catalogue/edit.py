"""Models that edit images by text: the order names one or more images, and the prompt says what to change."""

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
AUTO_RATIO: Any = Field(default="auto", description="“auto” keeps the aspect ratio of the image.")
IMAGE_COUNT_UNSURE = "the largest number of input images"


def image_list(at_most: int) -> Any:
    """Return the field of an input that takes a list of images."""
    return Field(
        min_length=1,
        max_length=at_most,
        description=f"The images to edit, 1 to {at_most}.",
        json_schema_extra={"x-widget": "images"},
    )


# Pydantic puts the fields of the last base class first. Prompt and images stand there, so that forms begin with them.


class UpToTen(Inputs):
    prompt: Prompt
    image_urls: list[ImageUrl] = image_list(10)


class NanoBananaEdit(image.NanoBanana, UpToTen):
    aspect_ratio: AutoRatio = AUTO_RATIO  # type: ignore[assignment]  # Only edits have "auto".


NANO_BANANA_EDIT = Model(
    slug="nano-banana-edit",
    endpoint="fal-ai/nano-banana/edit",
    title="Nano Banana, edit",
    summary="Edit an image or combine several, by text.",
    kind="image",
    inputs=NanoBananaEdit,
    output=image.NANO_BANANA.output,
    price=image.NANO_BANANA.price,
    typical_seconds=12,
    unsure=("the price: quoted in third-party code of 2026, not seen on fal's page", IMAGE_COUNT_UNSURE),
)


class UpToFourteen(Inputs):
    prompt: Prompt
    image_urls: list[ImageUrl] = image_list(14)


class NanoBananaProEdit(image.NanoBananaPro, UpToFourteen):
    aspect_ratio: AutoRatio = AUTO_RATIO


NANO_BANANA_PRO_EDIT = Model(
    slug="nano-banana-pro-edit",
    endpoint="fal-ai/nano-banana-pro/edit",
    title="Nano Banana Pro, edit",
    summary="Edit an image and keep its text and detail, up to 4K.",
    kind="image",
    inputs=NanoBananaProEdit,
    output=image.NANO_BANANA_PRO.output,
    price=image.NANO_BANANA_PRO.price,
    typical_seconds=25,
    unsure=(IMAGE_COUNT_UNSURE, image.LIMIT_UNSURE),
)


class UpToFour(Inputs):
    prompt: Prompt
    image_urls: list[ImageUrl] = image_list(4)


class Flux2Edit(image.Flux2, UpToFour):
    pass


def flux_2_edit_credits(inputs: Any) -> int:
    size = size_of(inputs)
    made = size.billed_megapixels * inputs.num_images if size else inputs.num_images
    # An order names its input images by URL; their sizes are not known here, so each counts as one megapixel.
    credits: int = 12 * (made + len(inputs.image_urls))
    return credits


FLUX_2_EDIT = Model(
    slug="flux-2-edit",
    endpoint="fal-ai/flux-2/edit",
    title="FLUX.2, edit",
    summary="Edit up to four images by text; fast and cheap.",
    kind="image",
    inputs=Flux2Edit,
    output=image.FLUX_2.output,
    price=by_formula(
        flux_2_edit_credits,
        description="12 credits per megapixel (rounded up), per image, and 12 per input image",
        unit=MEGAPIXELS,
        unit_formula=lambda inputs: 12,
    ),
    typical_seconds=12,
    unsure=(
        image.MEGAPIXEL_UNSURE,
        "the price: fal's page of this endpoint was not available. Its siblings bill input and output; an input image "
        "is counted as one megapixel",
        IMAGE_COUNT_UNSURE,
    ),
)
