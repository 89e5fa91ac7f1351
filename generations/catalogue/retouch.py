"""Models that improve an image: an upscaler and a background remover."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from generations.catalogue.declaration import Inputs, Model
from generations.catalogue.fields import Seed
from generations.catalogue.files import ImageUrl
from generations.catalogue.image import GUIDANCE, SAFETY_CHECKER, STEPS
from generations.catalogue.outputs import MEDIA_TYPE_OF, Files, image_type, seed_of
from generations.catalogue.prices import MEGAPIXELS, by_formula, flat

# fal bills the megapixels of the result, which depend on an image that has not been measured when the price is quoted.
# The catalogue's own models make images of about one megapixel; two leave room for an ordinary photograph.
ASSUMED_INPUT_MEGAPIXELS = 2


class ClarityUpscaler(Inputs):
    image_url: ImageUrl
    upscale_factor: float = Field(default=2, ge=1, le=4, description="The factor for width and height.")
    prompt: str = Field(
        default="masterpiece, best quality, highres", max_length=4_000, description="What the image shows."
    )
    negative_prompt: str = Field(
        default="(worst quality, low quality, normal quality:2)", max_length=4_000, description="What to leave out."
    )
    creativity: float = Field(default=0.35, ge=0, le=1, description="How much detail the model may invent.")
    resemblance: float = Field(default=0.6, ge=0, le=1, description="How closely to follow the image.")
    guidance_scale: float = Field(default=4, ge=0, le=20, description=GUIDANCE)
    num_inference_steps: int = Field(default=18, ge=4, le=50, description=STEPS)
    seed: Seed = None
    enable_safety_checker: bool = SAFETY_CHECKER


def clarity_credits(inputs: Any) -> int:
    megapixels: float = ASSUMED_INPUT_MEGAPIXELS * inputs.upscale_factor**2
    return 30 * math.ceil(megapixels)


CLARITY_UPSCALER = Model(
    slug="clarity-upscaler",
    endpoint="fal-ai/clarity-upscaler",
    title="Clarity upscaler",
    summary="Enlarge an image and add detail.",
    kind="image",
    inputs=ClarityUpscaler,
    output=Files(
        named=lambda inputs: {"image": "image/png"},
        paid=frozenset({"image"}),
        extras=lambda inputs: {"seed": seed_of(inputs), "timings": {"inference": 4.0}},
    ),
    price=by_formula(
        clarity_credits,
        description="30 credits per megapixel of the result, for an assumed input of two megapixels: 240 at factor 2",
        unit=MEGAPIXELS,
        unit_formula=lambda inputs: 30,
    ),
    typical_seconds=30,
    unsure=(
        "fal bills the megapixels of the result: an image of more than two costs the operator more than this price",
        "the format of the result",
    ),
)


class BirefnetV2(Inputs):
    image_url: ImageUrl
    model: Literal[
        "General Use (Light)",
        "General Use (Light 2K)",
        "General Use (Heavy)",
        "Matting",
        "Portrait",
        "General Use (Dynamic)",
    ] = Field(default="General Use (Light)", description="The variant of the model.")
    operating_resolution: Literal["1024x1024", "2048x2048", "2304x2304"] = Field(
        default="1024x1024", description="The largest is for the variant “Dynamic” only."
    )
    output_mask: bool = Field(default=False, description="Return the mask as an extra file.")
    refine_foreground: bool = Field(default=True, description="Clean the edges.")
    output_format: Literal["webp", "png", "gif"] = "png"
    mask_only: bool = Field(default=False, description="Return the mask instead of the image.")


def birefnet_files(inputs: Any) -> dict[str, str]:
    files = {"image": image_type(inputs)}
    return files | ({"mask_image": MEDIA_TYPE_OF["png"]} if inputs.output_mask else {})


BIREFNET_V2 = Model(
    slug="birefnet-v2",
    endpoint="fal-ai/birefnet/v2",
    title="BiRefNet 2, background remover",
    summary="Cut the subject of an image out of its background.",
    kind="image",
    inputs=BirefnetV2,
    output=Files(named=birefnet_files, paid=frozenset({"image"})),
    price=flat(5, unit="compute seconds"),
    typical_seconds=5,
    unsure=("the price: fal's page says $0 per compute second, an older one $0.00111; here it is 5 credits per image",),
)
