"""Models that make moving pictures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from generations.catalogue.declaration import Inputs, Model
from generations.catalogue.fields import ImageUrl, OptionalImageUrl, Prompt, SafetyTolerance, Seed
from generations.catalogue.outputs import Video
from generations.catalogue.prices import per_second

WITH_SOUND = Field(default=True, description="With sound.")
NEGATIVE_PROMPT = Field(default=None, max_length=4_000, description="What to leave out.")
VIDEO_DEADLINE_SECONDS = 5400


# --- Veo ---


class Veo31(Inputs):
    prompt: Prompt
    duration: Literal["4s", "6s", "8s"] = "8s"
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    resolution: Literal["720p", "1080p", "4k"] = "720p"
    generate_audio: bool = WITH_SOUND
    auto_fix: bool = Field(default=True, description="Rewrite a prompt that the content rules would refuse.")
    negative_prompt: str | None = NEGATIVE_PROMPT
    safety_tolerance: SafetyTolerance = "4"
    seed: Seed = None


class Veo31FromImage(Inputs):
    prompt: Prompt
    image_url: ImageUrl
    duration: Literal["4s", "6s", "8s"] = "8s"
    aspect_ratio: Literal["auto", "16:9", "9:16"] = "auto"
    resolution: Literal["720p", "1080p", "4k"] = "720p"
    generate_audio: bool = WITH_SOUND
    auto_fix: bool = Field(default=False, description="Rewrite a prompt that the content rules would refuse.")
    negative_prompt: str | None = NEGATIVE_PROMPT
    safety_tolerance: SafetyTolerance = "4"
    seed: Seed = None


def _veo_rate(inputs: Any) -> int:
    silent = 400 if inputs.resolution == "4k" else 200
    return silent + (200 if inputs.generate_audio else 0)


def _veo_fast_rate(inputs: Any) -> int:
    silent = 300 if inputs.resolution == "4k" else 100
    return silent + (50 if inputs.generate_audio else 0)


VEO_PRICE = per_second(_veo_rate, words="200 credits a second, 400 with sound; 4K: 400 and 600")
VEO_FAST_PRICE = per_second(_veo_fast_rate, words="100 credits a second, 150 with sound; 4K: 300 and 350")
VEO_FAST_UNSURE = "the price of the fast variant: fal's page was not at hand"

VEO_31 = Model(
    slug="veo3.1",
    endpoint="fal-ai/veo3.1",
    title="Veo 3.1",
    summary="Video with sound from words, four to eight seconds, at its finest.",
    kind="video",
    inputs=Veo31,
    output=Video(),
    price=VEO_PRICE,
    typical_seconds=120,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)
VEO_31_IMAGE = Model(
    slug="veo3.1-image",
    endpoint="fal-ai/veo3.1/image-to-video",
    title="Veo 3.1, from an image",
    summary="A picture that begins to move, with sound.",
    kind="video",
    inputs=Veo31FromImage,
    output=Video(),
    price=VEO_PRICE,
    typical_seconds=120,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)
VEO_31_FAST = Model(
    slug="veo3.1-fast",
    endpoint="fal-ai/veo3.1/fast",
    title="Veo 3.1 fast",
    summary="Video with sound from words, four to eight seconds.",
    kind="video",
    inputs=Veo31,
    output=Video(),
    price=VEO_FAST_PRICE,
    typical_seconds=75,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
    unsure=(VEO_FAST_UNSURE,),
)
VEO_31_FAST_IMAGE = Model(
    slug="veo3.1-fast-image",
    endpoint="fal-ai/veo3.1/fast/image-to-video",
    title="Veo 3.1 fast, from an image",
    summary="A picture that begins to move, sooner and cheaper.",
    kind="video",
    inputs=Veo31FromImage,
    output=Video(),
    price=VEO_FAST_PRICE,
    typical_seconds=75,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
    unsure=(VEO_FAST_UNSURE,),
)


# --- Kling ---

KlingDuration = Literal["3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]
CFG_SCALE = Field(default=0.5, ge=0, le=1, description="How closely to follow the prompt.")


class Kling3(Inputs):
    prompt: Prompt
    duration: KlingDuration = "5"
    aspect_ratio: Literal["16:9", "9:16", "1:1"] = "16:9"
    generate_audio: bool = WITH_SOUND
    negative_prompt: str | None = NEGATIVE_PROMPT
    cfg_scale: float = CFG_SCALE


class Kling3FromImage(Inputs):
    prompt: Prompt
    start_image_url: ImageUrl
    end_image_url: OptionalImageUrl = None
    duration: KlingDuration = "5"
    generate_audio: bool = WITH_SOUND
    negative_prompt: str | None = NEGATIVE_PROMPT
    cfg_scale: float = CFG_SCALE


KLING_PRICE = per_second(
    lambda inputs: 168 if inputs.generate_audio else 112, words="112 credits a second, 168 with sound"
)

KLING_3_PRO = Model(
    slug="kling-3-pro",
    endpoint="fal-ai/kling-video/v3/pro/text-to-video",
    title="Kling 3 pro",
    summary="Video from words, three to fifteen seconds.",
    kind="video",
    inputs=Kling3,
    output=Video(),
    price=KLING_PRICE,
    typical_seconds=150,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)
KLING_3_PRO_IMAGE = Model(
    slug="kling-3-pro-image",
    endpoint="fal-ai/kling-video/v3/pro/image-to-video",
    title="Kling 3 pro, from an image",
    summary="From one picture, or from one to another, in three to fifteen seconds.",
    kind="video",
    inputs=Kling3FromImage,
    output=Video(),
    price=KLING_PRICE,
    typical_seconds=150,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)


# --- Wan ---

WAN_DURATION = Field(default=5, ge=2, le=15, description="Seconds.")
PROMPT_EXPANSION = Field(default=True, description="Let the model write the prompt out.")
WanPrompt = Annotated[
    str, Field(min_length=1, max_length=5_000, description="What to make.", json_schema_extra={"x-widget": "prompt"})
]
WAN_NEGATIVE_PROMPT = Field(default=None, max_length=500, description="What to leave out.")
WAN_SAFETY = Field(default=True, description="Refuse what is not safe for work.")


class Wan27(Inputs):
    prompt: WanPrompt
    duration: int = WAN_DURATION
    resolution: Literal["720p", "1080p"] = "1080p"
    aspect_ratio: Literal["16:9", "9:16", "1:1", "4:3", "3:4"] = "16:9"
    negative_prompt: str | None = WAN_NEGATIVE_PROMPT
    enable_prompt_expansion: bool = PROMPT_EXPANSION
    enable_safety_checker: bool = WAN_SAFETY
    seed: Seed = None


class Wan27FromImage(Inputs):
    prompt: WanPrompt
    image_url: ImageUrl
    end_image_url: OptionalImageUrl = None
    duration: int = WAN_DURATION
    resolution: Literal["720p", "1080p"] = "1080p"
    negative_prompt: str | None = WAN_NEGATIVE_PROMPT
    enable_prompt_expansion: bool = PROMPT_EXPANSION
    enable_safety_checker: bool = WAN_SAFETY
    seed: Seed = None


WAN_27 = Model(
    slug="wan-2.7",
    endpoint="fal-ai/wan/v2.7/text-to-video",
    title="Wan 2.7",
    summary="Video from words, two to fifteen seconds.",
    kind="video",
    inputs=Wan27,
    output=Video(),
    price=per_second(lambda inputs: 100, words="100 credits a second"),
    typical_seconds=120,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)
WAN_27_IMAGE = Model(
    slug="wan-2.7-image",
    endpoint="fal-ai/wan/v2.7/image-to-video",
    title="Wan 2.7, from an image",
    summary="From one picture, or from one to another, in two to fifteen seconds.",
    kind="video",
    inputs=Wan27FromImage,
    output=Video(),
    price=per_second(
        lambda inputs: 150 if inputs.resolution == "1080p" else 100, words="100 credits a second, 150 in 1080p"
    ),
    typical_seconds=120,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)


# --- LTX ---

LtxResolution = Literal["1080p", "1440p", "2160p"]


class Ltx23(Inputs):
    prompt: Prompt
    duration: Literal[6, 8, 10] = 6
    resolution: LtxResolution = "1080p"
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    fps: Literal[24, 25, 48, 50] = 25
    generate_audio: bool = WITH_SOUND


class Ltx23FromImage(Inputs):
    prompt: Prompt
    image_url: ImageUrl
    end_image_url: OptionalImageUrl = None
    duration: Literal[6, 8, 10] = 6
    resolution: LtxResolution = "1080p"
    aspect_ratio: Literal["auto", "16:9", "9:16"] = "auto"
    fps: Literal[24, 25, 48, 50] = 25
    generate_audio: bool = WITH_SOUND


LTX_23 = Model(
    slug="ltx-2.3",
    endpoint="fal-ai/ltx-2.3/text-to-video",
    title="LTX 2.3",
    summary="Video from words, up to 4K, cheaply.",
    kind="video",
    inputs=Ltx23,
    output=Video(),
    price=per_second(
        lambda inputs: {"1080p": 80, "1440p": 160, "2160p": 320}[inputs.resolution],
        words="80 credits a second, 160 in 1440p, 320 in 2160p",
    ),
    typical_seconds=60,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)
LTX_23_IMAGE = Model(
    slug="ltx-2.3-image",
    endpoint="fal-ai/ltx-2.3/image-to-video",
    title="LTX 2.3, from an image",
    summary="A picture that begins to move, up to 4K, cheaply.",
    kind="video",
    inputs=Ltx23FromImage,
    output=Video(),
    price=per_second(
        lambda inputs: {"1080p": 60, "1440p": 120, "2160p": 240}[inputs.resolution],
        words="60 credits a second, 120 in 1440p, 240 in 2160p",
    ),
    typical_seconds=60,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)
