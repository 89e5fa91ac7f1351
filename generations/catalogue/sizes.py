"""Pixels and seconds of an order, from the inputs in which fal's models express them. Prices depend on both."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ImagePreset = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]

# The names are fal's. The pixels are those of fal's public examples, read in November 2026.
PIXELS_OF_PRESET: dict[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
# "720p" names the shorter side; "2K" names the side of a square, and other shapes have the same area.
SHORT_SIDE_OF_RESOLUTION = {"720p": 720, "1080p": 1080, "1440p": 1440, "2160p": 2160, "4k": 2160}
SQUARE_SIDE_OF_RESOLUTION = {"1K": 1024, "2K": 2048, "4K": 4096}


class CustomSize(BaseModel):
    """Width and height in pixels."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, title="Custom size")

    # fal documents no bounds. These keep the price and the memory for decoding an image within reason.
    width: int = Field(default=512, ge=256, le=2048, multiple_of=8)
    height: int = Field(default=512, ge=256, le=2048, multiple_of=8)


class LargeCustomSize(CustomSize):
    """Width and height in pixels, at least 512 each."""

    # FLUX.2 takes no smaller images.
    width: int = Field(default=512, ge=512, le=2048, multiple_of=8)
    height: int = Field(default=512, ge=512, le=2048, multiple_of=8)


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def billed_megapixels(self) -> int:
        """Megapixels, rounded up to whole ones as fal bills them."""
        return math.ceil(self.width * self.height / 1_000_000)


def size_of(inputs: Any) -> Size | None:
    """Return the pixels that these inputs ask for, or None if the model decides."""
    image_size = getattr(inputs, "image_size", None)
    if isinstance(image_size, CustomSize):
        return Size(image_size.width, image_size.height)
    if image_size is not None:
        return Size(*PIXELS_OF_PRESET[image_size])
    aspect_ratio, resolution = getattr(inputs, "aspect_ratio", None), getattr(inputs, "resolution", None)
    if aspect_ratio is None or resolution is None:
        return None
    # "auto" lets the model choose the shape; a square stands for all shapes of that area.
    across, down = (1, 1) if aspect_ratio == "auto" else map(int, aspect_ratio.split(":"))
    if resolution in SHORT_SIDE_OF_RESOLUTION:
        scale = SHORT_SIDE_OF_RESOLUTION[resolution] / min(across, down)
    else:
        scale = SQUARE_SIDE_OF_RESOLUTION[resolution] / math.sqrt(across * down)
    # Video codecs need even numbers.
    return Size(round(across * scale / 2) * 2, round(down * scale / 2) * 2)


def duration_seconds_of(inputs: Any) -> float | None:
    """Return the length that these inputs ask for (`duration`, such as "8s", "5" or 5), or None."""
    found = re.fullmatch(r"(\d+)s?", str(getattr(inputs, "duration", "")))
    return float(found[1]) if found else None
