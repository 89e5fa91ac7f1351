"""The files that fal's answer should hold, by their JSON paths.

A declaration has one `Output`. It tells ordering how many files a price covers, the lifecycle which stored files are
paid for, and the simulator what to answer.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from generations.catalogue.sizes import Size, duration_seconds_of, size_of

MEDIA_TYPE_OF = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "glb": "model/gltf-binary",
    "fbx": "application/octet-stream",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
}
# fal picks a random seed if an order names none; any number will do for the expected answer.
ANY_SEED = 20261120


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """A file that fal's answer should hold."""

    role: str
    """The JSON path of the file in the answer: "images[0]", "video", "model_urls.glb"."""
    media_type: str
    size: Size | None = None
    """Pixels, for images and videos. None if the model decides."""
    duration_seconds: float | None = None


def no_extras(inputs: Any) -> dict[str, Any]:
    return {}


def seed_of(inputs: Any) -> int:
    """Return the seed that fal's answer names: that of the order, or any."""
    return ANY_SEED if inputs.seed is None else int(inputs.seed)


def seed_extra(inputs: Any) -> dict[str, Any]:
    """Return the seed, for models whose answer names the seed and nothing else."""
    return {"seed": seed_of(inputs)}


def image_type(inputs: Any) -> str:
    """Return the media type of the images that these inputs ask for."""
    # Only fast-sdxl calls the input `format`. A model without such an input makes PNG as a rule.
    return MEDIA_TYPE_OF[getattr(inputs, "output_format", None) or getattr(inputs, "format", None) or "png"]


@dataclass(frozen=True, kw_only=True)
class Output(ABC):
    """What a model answers with."""

    extras: Callable[[Any], dict[str, Any]] = no_extras
    """Inputs → the members of the answer that are not files, such as the seed."""

    @abstractmethod
    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        """Return the files for these inputs."""

    @abstractmethod
    def is_paid(self, role: str) -> bool:
        """Return whether the price covers the file at this JSON path, or it is a free extra."""


@dataclass(frozen=True, kw_only=True)
class Images(Output):
    """`images[]`, one for each of `num_images`. All of them are paid for."""

    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        count, size = getattr(inputs, "num_images", 1), size_of(inputs)
        media_type = image_type(inputs)
        return tuple(ExpectedFile(role=f"images[{i}]", media_type=media_type, size=size) for i in range(count))

    def is_paid(self, role: str) -> bool:
        return re.fullmatch(r"images\[\d+\]", role) is not None


@dataclass(frozen=True, kw_only=True)
class Video(Output):
    """One file, `video`."""

    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        seconds = duration_seconds_of(inputs)
        return (ExpectedFile(role="video", media_type="video/mp4", size=size_of(inputs), duration_seconds=seconds),)

    def is_paid(self, role: str) -> bool:
        return role == "video"


@dataclass(frozen=True, kw_only=True)
class Audio(Output):
    """One file, `audio`, in this format."""

    extension: Literal["mp3", "wav"]
    seconds: Callable[[Any], float | None] = duration_seconds_of
    """Inputs → the length in seconds, or None if the inputs do not tell."""

    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        media_type = MEDIA_TYPE_OF[self.extension]
        return (ExpectedFile(role="audio", media_type=media_type, duration_seconds=self.seconds(inputs)),)

    def is_paid(self, role: str) -> bool:
        return role == "audio"


@dataclass(frozen=True, kw_only=True)
class Files(Output):
    """Named files that depend on the inputs, such as the meshes of a 3D model and its preview."""

    named: Callable[[Any], Mapping[str, str]]
    """Inputs → {JSON path: media type}."""
    paid: frozenset[str]
    """The JSON paths that the price covers. All others are free extras: fal may leave them out."""

    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        return tuple(ExpectedFile(role=role, media_type=media_type) for role, media_type in self.named(inputs).items())

    def is_paid(self, role: str) -> bool:
        return role in self.paid
