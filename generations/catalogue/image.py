"""Models that make still pictures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from generations.catalogue.declaration import Inputs, Model, Part
from generations.catalogue.fields import Prompt, SafetyTolerance, Seed
from generations.catalogue.files import OptionalImageUrl, WeightsPath
from generations.catalogue.outputs import Images, seed_beside, seed_of
from generations.catalogue.prices import MEGAPIXELS, by_formula, per_image, per_megapixel
from generations.catalogue.sizes import CustomSize, ImagePreset, LargeCustomSize, size_of

MEGAPIXEL_UNSURE = "whether fal counts 1,000,000 or 1,048,576 pixels to the megapixel"
IMAGE_SIZE: Any = Field(default="landscape_4_3", description="A named format, or pixels.")
NUM_IMAGES = Field(default=1, ge=1, le=4, description="How many pictures.")


SAFETY_CHECKER = Field(default=True, description="Blacken pictures that are not safe for work.")


class Flux(Inputs):
    """What the FLUX.1 models share."""

    prompt: Prompt
    image_size: ImagePreset | CustomSize = IMAGE_SIZE
    guidance_scale: float = Field(default=3.5, ge=1, le=20, description="How closely to follow the prompt.")
    num_images: int = NUM_IMAGES
    seed: Seed = None
    enable_safety_checker: bool = SAFETY_CHECKER
    output_format: Literal["jpeg", "png"] = "jpeg"
    acceleration: Literal["none", "regular", "high"] = "none"


class FluxSchnell(Flux):
    num_inference_steps: int = Field(default=4, ge=1, le=12, description="More steps, finer detail.")


class FluxDev(Flux):
    num_inference_steps: int = Field(default=28, ge=1, le=50, description="More steps, finer detail.")


def _beside_flux(inputs: Any) -> dict[str, Any]:
    return {
        "timings": {"inference": 0.4},
        "seed": seed_of(inputs),
        "has_nsfw_concepts": [False] * inputs.num_images,
        "prompt": inputs.prompt,
    }


FLUX_SCHNELL = Model(
    slug="flux-schnell",
    endpoint="fal-ai/flux/schnell",
    title="FLUX.1 schnell",
    summary="A picture from words in a second or two; the cheapest way to try a prompt.",
    kind="image",
    inputs=FluxSchnell,
    output=Images(beside=_beside_flux),
    price=per_megapixel(3),
    typical_seconds=3,
    unsure=(MEGAPIXEL_UNSURE,),
)

FLUX_DEV = Model(
    slug="flux-dev",
    endpoint="fal-ai/flux/dev",
    title="FLUX.1 dev",
    summary="A picture from words, with more detail than schnell and more time.",
    kind="image",
    inputs=FluxDev,
    output=Images(beside=_beside_flux),
    price=per_megapixel(25),
    typical_seconds=8,
    unsure=(MEGAPIXEL_UNSURE, "the unit: an example of fal's pricing page says an image, all else a megapixel"),
)


class FluxUltra(Inputs):
    prompt: Prompt
    aspect_ratio: Literal["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"] = "16:9"
    raw: bool = Field(default=False, description="Less processed, more natural.")
    enhance_prompt: bool = Field(default=False, description="Let the model write the prompt out.")
    image_url: OptionalImageUrl = None
    image_prompt_strength: float = Field(default=0.1, ge=0, le=1, description="How much the image counts.")
    num_images: int = NUM_IMAGES
    safety_tolerance: SafetyTolerance = "2"
    enable_safety_checker: bool = SAFETY_CHECKER
    output_format: Literal["jpeg", "png"] = "jpeg"
    seed: Seed = None


FLUX_ULTRA = Model(
    slug="flux-1.1-ultra",
    endpoint="fal-ai/flux-pro/v1.1-ultra",
    title="FLUX 1.1 pro ultra",
    summary="Four megapixels, for print and for large screens.",
    kind="image",
    inputs=FluxUltra,
    output=Images(beside=_beside_flux),
    price=per_image(60),
    typical_seconds=12,
    unsure=("fal also takes other aspect ratios, as free text",),
)


class Flux2(Inputs):
    prompt: Prompt
    image_size: ImagePreset | LargeCustomSize = IMAGE_SIZE
    guidance_scale: float = Field(default=2.5, ge=0, le=20, description="How closely to follow the prompt.")
    num_inference_steps: int = Field(default=28, ge=4, le=50, description="More steps, finer detail.")
    num_images: int = NUM_IMAGES
    acceleration: Literal["none", "regular", "high"] = "regular"
    enable_prompt_expansion: bool = Field(default=False, description="Let the model write the prompt out.")
    enable_safety_checker: bool = SAFETY_CHECKER
    output_format: Literal["jpeg", "png", "webp"] = "png"
    seed: Seed = None


FLUX_2 = Model(
    slug="flux-2",
    endpoint="fal-ai/flux-2",
    title="FLUX.2",
    summary="The second generation: better hands, text and light.",
    kind="image",
    inputs=Flux2,
    output=Images(beside=_beside_flux),
    price=per_megapixel(12),
    typical_seconds=8,
    unsure=(MEGAPIXEL_UNSURE,),
)


class Flux2Pro(Inputs):
    prompt: Prompt
    image_size: ImagePreset | CustomSize = IMAGE_SIZE
    safety_tolerance: Literal["1", "2", "3", "4", "5"] = Field(default="2", description="1 is strict, 5 lenient.")
    enable_safety_checker: bool = SAFETY_CHECKER
    output_format: Literal["jpeg", "png"] = "jpeg"
    seed: Seed = None


def _flux_2_pro_credits(inputs: Any) -> int:
    megapixels = size_of(inputs)
    return 15 + 15 * (megapixels.megapixels_started if megapixels else 1)


FLUX_2_PRO = Model(
    slug="flux-2-pro",
    endpoint="fal-ai/flux-2-pro",
    title="FLUX.2 pro",
    summary="FLUX.2 at its best, one picture at a time.",
    kind="image",
    inputs=Flux2Pro,
    output=Images(beside=seed_beside),
    price=by_formula(
        _flux_2_pro_credits,
        words="30 credits for the first megapixel, 15 for each further one",
        unit=MEGAPIXELS,
        unit_formula=lambda inputs: 30,
    ),
    typical_seconds=15,
    unsure=(MEGAPIXEL_UNSURE, "the price is that of fal's outpainting page"),
)


class Lora(Part):
    """Weights that change what the model draws."""

    path: WeightsPath
    scale: float = Field(default=1, ge=0, le=4, description="How strongly.")


Token = Annotated[str, Field(min_length=1, max_length=50)]


class Embedding(Part):
    """New words for the prompt."""

    path: WeightsPath
    tokens: list[Token] = Field(
        default=["<s0>", "<s1>"], min_length=1, max_length=10, description="What the prompt calls it by, one a line."
    )


class FastSdxl(Inputs):
    prompt: Prompt
    negative_prompt: str = Field(default="", max_length=4_000, description="What to leave out.")
    image_size: ImagePreset | CustomSize = Field(default="square_hd", description="A named format, or pixels.")
    num_inference_steps: int = Field(default=25, ge=1, le=50, description="More steps, finer detail.")
    guidance_scale: float = Field(default=7.5, ge=0, le=20, description="How closely to follow the prompt.")
    num_images: int = NUM_IMAGES
    seed: Seed = None
    enable_safety_checker: bool = SAFETY_CHECKER
    safety_checker_version: Literal["v1", "v2"] = "v1"
    expand_prompt: bool = Field(default=False, description="Let the model write the prompt out.")
    format: Literal["jpeg", "png"] = "jpeg"
    loras: list[Lora] | None = Field(default=None, min_length=1, max_length=5, description="Weights that are loaded.")
    embeddings: list[Embedding] | None = Field(
        default=None, min_length=1, max_length=5, description="Textual inversions that are loaded."
    )


FAST_SDXL = Model(
    slug="fast-sdxl",
    endpoint="fal-ai/fast-sdxl",
    title="Stable Diffusion XL, fast",
    summary="An older model, quick and cheap.",
    kind="image",
    inputs=FastSdxl,
    output=Images(beside=_beside_flux),
    price=per_image(3),
    typical_seconds=3,
    unsure=(
        "the price: fal bills the computing time",
        "the ranges of steps, guidance and the scale of a LoRA; how many LoRAs and embeddings it takes",
    ),
)


class NanoBanana(Inputs):
    prompt: Prompt
    aspect_ratio: Literal["21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"] = "1:1"
    num_images: int = NUM_IMAGES
    output_format: Literal["png", "jpeg", "webp"] = "png"
    safety_tolerance: SafetyTolerance = "4"
    seed: Seed = None
    # Sent explicitly: fal's types and pages disagree on the default.
    limit_generations: bool = Field(default=False, description="Make no more than one picture from each prompt.")


NANO_BANANA = Model(
    slug="nano-banana",
    endpoint="fal-ai/nano-banana",
    title="Nano Banana",
    summary="Pictures that follow long instructions closely.",
    kind="image",
    inputs=NanoBanana,
    output=Images(beside=lambda inputs: {"description": ""}),
    price=per_image(39),
    typical_seconds=10,
    unsure=("the price is quoted in code of 2026, not seen on fal's page",),
)


class NanoBananaPro(Inputs):
    prompt: Prompt
    aspect_ratio: Literal["auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"] = "1:1"
    resolution: Literal["1K", "2K", "4K"] = "1K"
    num_images: int = NUM_IMAGES
    output_format: Literal["png", "jpeg", "webp"] = "png"
    safety_tolerance: SafetyTolerance = "4"
    enable_web_search: bool = Field(
        default=False, description="Let the model look facts up; costs 15 credits a picture."
    )
    seed: Seed = None
    # fal's types of August 2026 say the default is true, its pages of spring say false: sent explicitly.
    limit_generations: bool = Field(default=False, description="Make no more than one picture from each prompt.")
    system_prompt: str = Field(default="", max_length=4_000)


def _nano_banana_surcharge(inputs: Any) -> int:
    return (150 if inputs.resolution == "4K" else 0) + (15 if inputs.enable_web_search else 0)


LIMIT_UNSURE = "the default of limit_generations: false in fal's docs of the spring, true in its types of August"
NANO_BANANA_PRO = Model(
    slug="nano-banana-pro",
    endpoint="fal-ai/nano-banana-pro",
    title="Nano Banana Pro",
    summary="Pictures with legible text and real-world knowledge: posters, diagrams, infographics.",
    kind="image",
    inputs=NanoBananaPro,
    output=Images(beside=lambda inputs: {"description": ""}),
    price=per_image(150, surcharge=_nano_banana_surcharge, words="150 credits an image, 300 in 4K; web search 15 more"),
    typical_seconds=20,
    unsure=(LIMIT_UNSURE,),
)
