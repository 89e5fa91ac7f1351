"""How many pixels and seconds an order asks for, from the words that fal's models use."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ImagePreset = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]

# fal's own names; the pixels are those of its public examples.
PIXELS_OF_PRESET: dict[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
SHORT_SIDE_OF_RESOLUTION = {"720p": 720, "1080p": 1080, "1440p": 1440, "2160p": 2160, "4k": 2160}
SQUARE_SIDE_OF_RESOLUTION = {"1K": 1024, "2K": 2048, "4K": 4096}


class CustomSize(BaseModel):
    """Pixels, chosen freely."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, title="Custom size")

    # fal documents no bounds; these keep the price and our own decoder within reason.
    width: int = Field(default=512, ge=256, le=2048, multiple_of=8)
    height: int = Field(default=512, ge=256, le=2048, multiple_of=8)


class LargeCustomSize(CustomSize):
    """Pixels, chosen freely; FLUX.2 begins at 512."""

    width: int = Field(default=512, ge=512, le=2048, multiple_of=8)
    height: int = Field(default=512, ge=512, le=2048, multiple_of=8)


@dataclass(frozen=True)
class Size:
    width: int
    height: int

    @property
    def megapixels_started(self) -> int:
        """Megapixels, rounded up to whole ones as fal bills them."""
        return math.ceil(self.width * self.height / 1_000_000)


def size_of(inputs: Any) -> Size | None:
    """The pixels asked for, or None where the model decides."""
    if (image_size := getattr(inputs, "image_size", None)) is not None:
        return _of_image_size(image_size)
    ratio = _ratio(getattr(inputs, "aspect_ratio", None))
    resolution = getattr(inputs, "resolution", None)
    if ratio is None or resolution is None:
        return None
    if resolution in SHORT_SIDE_OF_RESOLUTION:
        return _with_short_side(SHORT_SIDE_OF_RESOLUTION[resolution], ratio)
    return _with_area(SQUARE_SIDE_OF_RESOLUTION[resolution] ** 2, ratio)


def duration_seconds_of(inputs: Any) -> float | None:
    """Seconds: fal's models write "8s", "5" or 5."""
    found = re.fullmatch(r"(\d+)s?", str(getattr(inputs, "duration", "")))
    return float(found[1]) if found else None


def _of_image_size(image_size: str | CustomSize) -> Size:
    if isinstance(image_size, CustomSize):
        return Size(image_size.width, image_size.height)
    return Size(*PIXELS_OF_PRESET[image_size])


def _ratio(aspect_ratio: str | None) -> float | None:
    # "auto" lets the model choose; a square stands for the area.
    if aspect_ratio == "auto":
        return 1.0
    if aspect_ratio is None:
        return None
    width, height = map(int, aspect_ratio.split(":"))
    return width / height


def _with_short_side(side: int, ratio: float) -> Size:
    if ratio >= 1:
        return Size(_even(side * ratio), side)
    return Size(side, _even(side / ratio))


def _with_area(area: int, ratio: float) -> Size:
    return Size(_even(math.sqrt(area * ratio)), _even(math.sqrt(area / ratio)))


def _even(pixels: float) -> int:
    return round(pixels / 2) * 2
