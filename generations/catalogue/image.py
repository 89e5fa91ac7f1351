"""Models that make still images from text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from generations.catalogue.declaration import InputObject, Inputs, Model
from generations.catalogue.fields import Prompt, SafetyTolerance, Seed
from generations.catalogue.files import OptionalImageUrl, WeightsPath
from generations.catalogue.outputs import Images, seed_extra, seed_of
from generations.catalogue.prices import MEGAPIXELS, by_formula, per_image, per_megapixel
from generations.catalogue.sizes import CustomSize, ImagePreset, LargeCustomSize, size_of

MEGAPIXEL_UNSURE = "whether a megapixel of fal's bill has 1,000,000 or 1,048,576 pixels"
IMAGE_SIZE: Any = Field(default="landscape_4_3", description="A named size, or width and height in pixels.")
NUM_IMAGES = Field(default=1, ge=1, le=4, description="The number of images.")
SAFETY_CHECKER = Field(default=True, description="Replace unsafe images with black ones.")
EXPAND_PROMPT = Field(default=False, description="Let the model expand the prompt.")
GUIDANCE = "How closely to follow the prompt."
STEPS = "More steps give finer detail and take longer."


class Flux(Inputs):
    """What the FLUX.1 models have in common."""

    prompt: Prompt
    image_size: ImagePreset | CustomSize = IMAGE_SIZE
    guidance_scale: float = Field(default=3.5, ge=1, le=20, description=GUIDANCE)
    num_images: int = NUM_IMAGES
    seed: Seed = None
    enable_safety_checker: bool = SAFETY_CHECKER
    output_format: Literal["jpeg", "png"] = "jpeg"
    acceleration: Literal["none", "regular", "high"] = "none"


class FluxSchnell(Flux):
    num_inference_steps: int = Field(default=4, ge=1, le=12, description=STEPS)


class FluxDev(Flux):
    num_inference_steps: int = Field(default=28, ge=1, le=50, description=STEPS)


def flux_extras(inputs: Any) -> dict[str, Any]:
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
    summary="Text to image in one or two seconds; the cheapest way to try a prompt.",
    kind="image",
    inputs=FluxSchnell,
    output=Images(extras=flux_extras),
    price=per_megapixel(3),
    typical_seconds=3,
    unsure=(MEGAPIXEL_UNSURE,),
)

FLUX_DEV = Model(
    slug="flux-dev",
    endpoint="fal-ai/flux/dev",
    title="FLUX.1 dev",
    summary="Text to image with more detail than schnell; slower.",
    kind="image",
    inputs=FluxDev,
    output=Images(extras=flux_extras),
    price=per_megapixel(25),
    typical_seconds=8,
    unsure=(MEGAPIXEL_UNSURE, "the unit: an example on fal's pricing page bills images, all other sources megapixels"),
)


class FluxUltra(Inputs):
    prompt: Prompt
    aspect_ratio: Literal["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"] = "16:9"
    raw: bool = Field(default=False, description="Less processed, more natural.")
    enhance_prompt: bool = EXPAND_PROMPT
    image_url: OptionalImageUrl = None
    image_prompt_strength: float = Field(default=0.1, ge=0, le=1, description="How closely to follow the image.")
    num_images: int = NUM_IMAGES
    safety_tolerance: SafetyTolerance = "2"
    enable_safety_checker: bool = SAFETY_CHECKER
    output_format: Literal["jpeg", "png"] = "jpeg"
    seed: Seed = None


FLUX_ULTRA = Model(
    slug="flux-1.1-ultra",
    endpoint="fal-ai/flux-pro/v1.1-ultra",
    title="FLUX 1.1 pro ultra",
    summary="Text to image with four megapixels, for print and large screens.",
    kind="image",
    inputs=FluxUltra,
    output=Images(extras=flux_extras),
    price=per_image(60),
    typical_seconds=12,
    unsure=("fal also takes other aspect ratios, as free text",),
)


class Flux2(Inputs):
    prompt: Prompt
    image_size: ImagePreset | LargeCustomSize = IMAGE_SIZE
    guidance_scale: float = Field(default=2.5, ge=0, le=20, description=GUIDANCE)
    num_inference_steps: int = Field(default=28, ge=4, le=50, description=STEPS)
    num_images: int = NUM_IMAGES
    acceleration: Literal["none", "regular", "high"] = "regular"
    enable_prompt_expansion: bool = EXPAND_PROMPT
    enable_safety_checker: bool = SAFETY_CHECKER
    output_format: Literal["jpeg", "png", "webp"] = "png"
    seed: Seed = None


FLUX_2 = Model(
    slug="flux-2",
    endpoint="fal-ai/flux-2",
    title="FLUX.2",
    summary="The second generation of FLUX: better hands, text and light.",
    kind="image",
    inputs=Flux2,
    output=Images(extras=flux_extras),
    price=per_megapixel(12),
    typical_seconds=8,
    unsure=(MEGAPIXEL_UNSURE,),
)


class Flux2Pro(Inputs):
    prompt: Prompt
    image_size: ImagePreset | CustomSize = IMAGE_SIZE
    safety_tolerance: Literal["1", "2", "3", "4", "5"] = Field(
        default="2", description="1 is the strictest, 5 the most lenient."
    )
    enable_safety_checker: bool = SAFETY_CHECKER
    output_format: Literal["jpeg", "png"] = "jpeg"
    seed: Seed = None


def flux_2_pro_credits(inputs: Any) -> int:
    size = size_of(inputs)
    return 15 + 15 * (size.billed_megapixels if size else 1)


FLUX_2_PRO = Model(
    slug="flux-2-pro",
    endpoint="fal-ai/flux-2-pro",
    title="FLUX.2 pro",
    summary="The best quality of FLUX.2, one image per order.",
    kind="image",
    inputs=Flux2Pro,
    output=Images(extras=seed_extra),
    price=by_formula(
        flux_2_pro_credits,
        description="30 credits for the first megapixel, 15 for each further one (rounded up)",
        unit=MEGAPIXELS,
        unit_formula=lambda inputs: 30,
    ),
    typical_seconds=15,
    unsure=(MEGAPIXEL_UNSURE, "the price, which is that of fal's outpainting page"),
)


class Lora(InputObject):
    """Weights that change the style of the model."""

    path: WeightsPath
    scale: float = Field(default=1, ge=0, le=4, description="How strongly to apply them.")


Token = Annotated[str, Field(min_length=1, max_length=50)]


class Embedding(InputObject):
    """A textual inversion: weights that add words to the prompt's vocabulary."""

    path: WeightsPath
    tokens: list[Token] = Field(
        default=["<s0>", "<s1>"],
        min_length=1,
        max_length=10,
        description="The words that stand for it in the prompt, one per line.",
    )


class FastSdxl(Inputs):
    prompt: Prompt
    negative_prompt: str = Field(default="", max_length=4_000, description="What to leave out.")
    image_size: ImagePreset | CustomSize = Field(
        default="square_hd", description="A named size, or width and height in pixels."
    )
    num_inference_steps: int = Field(default=25, ge=1, le=50, description=STEPS)
    guidance_scale: float = Field(default=7.5, ge=0, le=20, description=GUIDANCE)
    num_images: int = NUM_IMAGES
    seed: Seed = None
    enable_safety_checker: bool = SAFETY_CHECKER
    safety_checker_version: Literal["v1", "v2"] = "v1"
    expand_prompt: bool = EXPAND_PROMPT
    format: Literal["jpeg", "png"] = "jpeg"
    loras: list[Lora] | None = Field(default=None, min_length=1, max_length=5, description="LoRA weights to load.")
    embeddings: list[Embedding] | None = Field(
        default=None, min_length=1, max_length=5, description="Textual inversions to load."
    )


FAST_SDXL = Model(
    slug="fast-sdxl",
    endpoint="fal-ai/fast-sdxl",
    title="Stable Diffusion XL, fast",
    summary="An older text-to-image model, fast and cheap.",
    kind="image",
    inputs=FastSdxl,
    output=Images(extras=flux_extras),
    price=per_image(3),
    typical_seconds=3,
    unsure=(
        "the price: fal bills the computing time",
        "the ranges of steps, guidance and the scale of a LoRA; the largest number of LoRAs and embeddings",
    ),
)


class NanoBanana(Inputs):
    prompt: Prompt
    aspect_ratio: Literal["21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"] = "1:1"
    num_images: int = NUM_IMAGES
    output_format: Literal["png", "jpeg", "webp"] = "png"
    safety_tolerance: SafetyTolerance = "4"
    seed: Seed = None
    # Always sent: fal's types and pages disagree on the default.
    limit_generations: bool = Field(default=False, description="Make at most one image per prompt.")


NANO_BANANA = Model(
    slug="nano-banana",
    endpoint="fal-ai/nano-banana",
    title="Nano Banana",
    summary="Text to image that follows long instructions closely.",
    kind="image",
    inputs=NanoBanana,
    output=Images(extras=lambda inputs: {"description": ""}),
    price=per_image(39),
    typical_seconds=10,
    unsure=("the price: quoted in third-party code of 2026, not seen on fal's page",),
)


class NanoBananaPro(Inputs):
    prompt: Prompt
    aspect_ratio: Literal["auto", "21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"] = "1:1"
    resolution: Literal["1K", "2K", "4K"] = "1K"
    num_images: int = NUM_IMAGES
    output_format: Literal["png", "jpeg", "webp"] = "png"
    safety_tolerance: SafetyTolerance = "4"
    enable_web_search: bool = Field(
        default=False, description="Let the model look up facts on the web, for 15 credits per image."
    )
    seed: Seed = None
    # Always sent: the default is true in fal's types of August 2026 and false on its pages of the spring.
    limit_generations: bool = Field(default=False, description="Make at most one image per prompt.")
    system_prompt: str = Field(default="", max_length=4_000)


def nano_banana_surcharge(inputs: Any) -> int:
    return (150 if inputs.resolution == "4K" else 0) + (15 if inputs.enable_web_search else 0)


LIMIT_UNSURE = "the default of limit_generations: false on fal's pages of spring 2026, true in its types of August 2026"
NANO_BANANA_PRO = Model(
    slug="nano-banana-pro",
    endpoint="fal-ai/nano-banana-pro",
    title="Nano Banana Pro",
    summary="Images with legible text and real-world knowledge: posters, diagrams, infographics.",
    kind="image",
    inputs=NanoBananaPro,
    output=Images(extras=lambda inputs: {"description": ""}),
    price=per_image(
        150,
        surcharge=nano_banana_surcharge,
        description="150 credits per image, 300 in 4K; 15 more with web search",
    ),
    typical_seconds=20,
    unsure=(LIMIT_UNSURE,),
)
