"""Models that make videos, from text, images or another video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, WithJsonSchema, model_validator

from generations.catalogue.declaration import InputObject, Inputs, Model, conflict
from generations.catalogue.fields import Prompt, SafetyTolerance, Seed, prompt_field
from generations.catalogue.files import (
    FileRequirements,
    ImageUrl,
    OptionalFileUrl,
    OptionalImageUrl,
    OptionalVideoUrl,
    file_schema,
)
from generations.catalogue.outputs import Video, seed_extra
from generations.catalogue.prices import per_second

GENERATE_AUDIO = Field(default=True, description="Generate audio for the video.")
NEGATIVE_PROMPT = Field(default=None, max_length=4_000, description="What to leave out.")
AUTO_FIX = "Rewrite a prompt that the content rules would refuse."
# The start time-out of 30 minutes, and an hour to make the video.
VIDEO_DEADLINE_SECONDS = 5400


# --- Veo ---


class Veo31(Inputs):
    prompt: Prompt
    duration: Literal["4s", "6s", "8s"] = "8s"
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    resolution: Literal["720p", "1080p", "4k"] = "720p"
    generate_audio: bool = GENERATE_AUDIO
    auto_fix: bool = Field(default=True, description=AUTO_FIX)
    negative_prompt: str | None = NEGATIVE_PROMPT
    safety_tolerance: SafetyTolerance = "4"
    seed: Seed = None


class Veo31FromImage(Inputs):
    prompt: Prompt
    image_url: ImageUrl
    duration: Literal["4s", "6s", "8s"] = "8s"
    aspect_ratio: Literal["auto", "16:9", "9:16"] = "auto"
    resolution: Literal["720p", "1080p", "4k"] = "720p"
    generate_audio: bool = GENERATE_AUDIO
    auto_fix: bool = Field(default=False, description=AUTO_FIX)
    negative_prompt: str | None = NEGATIVE_PROMPT
    safety_tolerance: SafetyTolerance = "4"
    seed: Seed = None


def veo_rate(inputs: Any) -> int:
    silent = 400 if inputs.resolution == "4k" else 200
    return silent + (200 if inputs.generate_audio else 0)


def veo_fast_rate(inputs: Any) -> int:
    silent = 300 if inputs.resolution == "4k" else 100
    return silent + (50 if inputs.generate_audio else 0)


VEO_PRICE = per_second(veo_rate, description="200 credits per second, 400 with audio; in 4K 400 and 600")
VEO_FAST_PRICE = per_second(veo_fast_rate, description="100 credits per second, 150 with audio; in 4K 300 and 350")
VEO_FAST_UNSURE = "the price of the fast variant: fal's page was not available"

VEO_31 = Model(
    slug="veo3.1",
    endpoint="fal-ai/veo3.1",
    title="Veo 3.1",
    summary="Text to video with audio, four to eight seconds, in the best quality.",
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
    summary="Animate an image, with audio.",
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
    summary="Text to video with audio, four to eight seconds.",
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
    summary="Animate an image, faster and cheaper.",
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
ShotDuration = Literal["1", "2", KlingDuration]
KLING_SECONDS_MIN, KLING_SECONDS_MAX = 3, 15
SHOTS_MAX = 6
ELEMENTS_MAX = 4
CFG_SCALE = Field(default=0.5, ge=0, le=1, description="How closely to follow the prompt.")
SHOTS_UNSURE = (
    "the largest number of shots, and that a video is billed for the sum of their lengths: third-party guides"
)
ELEMENTS_UNSURE = "the largest number of elements and of images per element: third-party guides"


class Shot(InputObject):
    """One shot of a video of several."""

    prompt: Annotated[str, prompt_field("What happens in this shot.")]
    duration: ShotDuration = Field(default="5", description="The length in seconds.")


class Shots(Inputs):
    """One shot, described by the prompt, or several in sequence."""

    exactly_one_of = ("prompt", "multi_prompt")

    prompt: str | None = prompt_field(default=None)
    multi_prompt: list[Shot] | None = Field(
        default=None,
        min_length=1,
        max_length=SHOTS_MAX,
        description="Several shots in one video, instead of the prompt. The video is as long as their sum.",
    )
    shot_type: Literal["customize", "intelligent"] = Field(
        default="customize",
        description="“customize” follows the shots exactly, “intelligent” lets the model decide on cuts.",
    )
    duration: KlingDuration = Field(
        default="5",
        description="The length in seconds. With several shots, the sum of theirs.",
        json_schema_extra={"x-follows": "multi_prompt"},
    )

    @model_validator(mode="after")
    def _set_duration_of_shots(self) -> Self:
        """Make the duration that of the shots: fal bills by `duration`, so it is always sent."""
        if self.multi_prompt is None:
            return self
        seconds = sum(int(shot.duration) for shot in self.multi_prompt)
        if not KLING_SECONDS_MIN <= seconds <= KLING_SECONDS_MAX:
            raise conflict(
                "multi_prompt",
                f"The shots add up to {seconds} seconds; "
                f"a video lasts {KLING_SECONDS_MIN} to {KLING_SECONDS_MAX} seconds.",
            )
        if "duration" in self.model_fields_set and int(self.duration) != seconds:
            raise conflict("duration", f"The shots add up to {seconds} seconds. Give that number or leave it out.")
        return self.model_copy(update={"duration": str(seconds)})


class Kling3(Shots):
    aspect_ratio: Literal["16:9", "9:16", "1:1"] = "16:9"
    generate_audio: bool = GENERATE_AUDIO
    negative_prompt: str | None = NEGATIVE_PROMPT
    cfg_scale: float = CFG_SCALE


class Element(InputObject):
    """A character or an object that looks the same throughout, shown in images or in a video."""

    exactly_one_of = ("frontal_image_url", "video_url")
    requires: ClassVar[Mapping[str, str]] = {"reference_image_urls": "frontal_image_url"}

    frontal_image_url: OptionalImageUrl = None
    reference_image_urls: list[ImageUrl] | None = Field(
        default=None,
        min_length=1,
        max_length=3,
        description="The same from other sides, 1 to 3 images.",
        json_schema_extra={"x-widget": "images"},
    )
    video_url: OptionalVideoUrl = None


class StartImage(Inputs):
    start_image_url: ImageUrl
    end_image_url: OptionalImageUrl = None


class Kling3FromImage(StartImage, Shots):
    elements: list[Element] | None = Field(
        default=None,
        min_length=1,
        max_length=ELEMENTS_MAX,
        description="Characters and objects that look the same throughout: @Element1, @Element2 … in the prompt.",
    )
    generate_audio: bool = GENERATE_AUDIO
    negative_prompt: str | None = NEGATIVE_PROMPT
    cfg_scale: float = CFG_SCALE


KLING_PRICE = per_second(
    lambda inputs: 168 if inputs.generate_audio else 112, description="112 credits per second, 168 with audio"
)

KLING_3_PRO = Model(
    slug="kling-3-pro",
    endpoint="fal-ai/kling-video/v3/pro/text-to-video",
    title="Kling 3 pro",
    summary="Text to video in one shot or several, three to fifteen seconds.",
    kind="video",
    inputs=Kling3,
    output=Video(),
    price=KLING_PRICE,
    typical_seconds=150,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
    unsure=(SHOTS_UNSURE,),
)
KLING_3_PRO_IMAGE = Model(
    slug="kling-3-pro-image",
    endpoint="fal-ai/kling-video/v3/pro/image-to-video",
    title="Kling 3 pro, from an image",
    summary="Animate an image, or move from one image to another, three to fifteen seconds.",
    kind="video",
    inputs=Kling3FromImage,
    output=Video(),
    price=KLING_PRICE,
    typical_seconds=150,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
    unsure=(SHOTS_UNSURE, ELEMENTS_UNSURE),
)


# --- Wan ---

WAN_DURATION = Field(default=5, ge=2, le=15, description="The length in seconds.")
PROMPT_EXPANSION = Field(default=True, description="Let the model expand the prompt.")
WAN_PROMPT_CHARACTERS_MAX = 5_000
WanPrompt = Annotated[str, prompt_field(characters_max=WAN_PROMPT_CHARACTERS_MAX)]
WAN_AUDIO = FileRequirements(
    kind="audio", megabytes_max=15, seconds_min=2, seconds_max=30, formats=("audio/mpeg", "audio/wav")
)
WAN_CLIP = FileRequirements(kind="video", seconds_min=2, seconds_max=10)
WanAudio = Annotated[OptionalFileUrl, WithJsonSchema(file_schema(WAN_AUDIO, optional=True))]
WanClip = Annotated[OptionalFileUrl, WithJsonSchema(file_schema(WAN_CLIP, optional=True))]
WAN_AUDIO_UNSURE = "the limits of the audio file: third-party documentation"
WAN_NEGATIVE_PROMPT = Field(default=None, max_length=500, description="What to leave out.")
WAN_SAFETY = Field(default=True, description="Refuse unsafe content.")


class Wan27(Inputs):
    prompt: WanPrompt
    duration: int = WAN_DURATION
    resolution: Literal["720p", "1080p"] = "1080p"
    aspect_ratio: Literal["16:9", "9:16", "1:1", "4:3", "3:4"] = "16:9"
    audio_url: WanAudio = None
    negative_prompt: str | None = WAN_NEGATIVE_PROMPT
    enable_prompt_expansion: bool = PROMPT_EXPANSION
    enable_safety_checker: bool = WAN_SAFETY
    seed: Seed = None


class Wan27FromImage(Inputs):
    """Animates an image, or continues a video."""

    exactly_one_of = ("image_url", "video_url")
    requires: ClassVar[Mapping[str, str]] = {"audio_url": "image_url"}

    prompt: str | None = prompt_field(default=None, characters_max=WAN_PROMPT_CHARACTERS_MAX)
    image_url: OptionalImageUrl = None
    end_image_url: OptionalImageUrl = None
    video_url: WanClip = None
    audio_url: WanAudio = None
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
    summary="Text to video, two to fifteen seconds.",
    kind="video",
    inputs=Wan27,
    output=Video(extras=seed_extra),
    price=per_second(lambda inputs: 100, description="100 credits per second"),
    typical_seconds=120,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
    unsure=(WAN_AUDIO_UNSURE,),
)
WAN_27_IMAGE = Model(
    slug="wan-2.7-image",
    endpoint="fal-ai/wan/v2.7/image-to-video",
    title="Wan 2.7, from an image",
    summary="Animate an image, move from one image to another, or continue a video, two to fifteen seconds.",
    kind="video",
    inputs=Wan27FromImage,
    output=Video(extras=seed_extra),
    price=per_second(
        lambda inputs: 150 if inputs.resolution == "1080p" else 100, description="100 credits per second, 150 in 1080p"
    ),
    typical_seconds=120,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
    unsure=(
        WAN_AUDIO_UNSURE,
        "the limits of a video to continue, and that it excludes a first image and audio: third-party documentation",
        "whether duration includes the seconds of the video to continue",
    ),
)


# --- LTX ---

LtxResolution = Literal["1080p", "1440p", "2160p"]


class Ltx23(Inputs):
    prompt: Prompt
    duration: Literal[6, 8, 10] = 6
    resolution: LtxResolution = "1080p"
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    fps: Literal[24, 25, 48, 50] = 25
    generate_audio: bool = GENERATE_AUDIO


class Ltx23FromImage(Inputs):
    prompt: Prompt
    image_url: ImageUrl
    end_image_url: OptionalImageUrl = None
    duration: Literal[6, 8, 10] = 6
    resolution: LtxResolution = "1080p"
    aspect_ratio: Literal["auto", "16:9", "9:16"] = "auto"
    fps: Literal[24, 25, 48, 50] = 25
    generate_audio: bool = GENERATE_AUDIO


LTX_23 = Model(
    slug="ltx-2.3",
    endpoint="fal-ai/ltx-2.3/text-to-video",
    title="LTX 2.3",
    summary="Text to video up to 4K, at a low price.",
    kind="video",
    inputs=Ltx23,
    output=Video(),
    price=per_second(
        lambda inputs: {"1080p": 80, "1440p": 160, "2160p": 320}[inputs.resolution],
        description="80 credits per second, 160 in 1440p, 320 in 2160p",
    ),
    typical_seconds=60,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)
LTX_23_IMAGE = Model(
    slug="ltx-2.3-image",
    endpoint="fal-ai/ltx-2.3/image-to-video",
    title="LTX 2.3, from an image",
    summary="Animate an image up to 4K, at a low price.",
    kind="video",
    inputs=Ltx23FromImage,
    output=Video(),
    price=per_second(
        lambda inputs: {"1080p": 60, "1440p": 120, "2160p": 240}[inputs.resolution],
        description="60 credits per second, 120 in 1440p, 240 in 2160p",
    ),
    typical_seconds=60,
    deadline_seconds=VIDEO_DEADLINE_SECONDS,
)
