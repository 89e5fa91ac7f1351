"""Which files an answer of fal holds, by JSON path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

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
# Where nobody chose one, fal takes any.
ANY_SEED = 20261120


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """A file that fal's answer should hold."""

    role: str
    """Its JSON path in the answer: "images[0]", "video", "model_urls.glb"."""
    media_type: str
    size: Size | None = None
    """Pixels, for pictures and videos."""
    duration_seconds: float | None = None


class Output(Protocol):
    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]: ...
    def extras(self, inputs: Any) -> dict[str, Any]: ...
    def is_paid(self, role: str) -> bool: ...


def no_extras(inputs: Any) -> dict[str, Any]:
    return {}


def seed_of(inputs: Any) -> int:
    """The seed that an answer names."""
    return ANY_SEED if inputs.seed is None else int(inputs.seed)


def seed_beside(inputs: Any) -> dict[str, Any]:
    return {"seed": seed_of(inputs)}


def picture_type(inputs: Any) -> str:
    """The media type of a picture that was asked for so."""
    # fast-sdxl alone says `format`; who lets nobody choose makes PNG as a rule.
    return MEDIA_TYPE_OF[getattr(inputs, "output_format", None) or getattr(inputs, "format", None) or "png"]


@dataclass(frozen=True, kw_only=True)
class Images:
    """`images[]`: as many as `num_images` asks for. Each one is paid for."""

    beside: Callable[[Any], dict[str, Any]] = no_extras

    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        count, size = getattr(inputs, "num_images", 1), size_of(inputs)
        media_type = picture_type(inputs)
        return tuple(ExpectedFile(role=f"images[{i}]", media_type=media_type, size=size) for i in range(count))

    def extras(self, inputs: Any) -> dict[str, Any]:
        return self.beside(inputs)

    def is_paid(self, role: str) -> bool:
        return re.fullmatch(r"images\[\d+\]", role) is not None


@dataclass(frozen=True, kw_only=True)
class Video:
    """`video`: one file."""

    beside: Callable[[Any], dict[str, Any]] = no_extras

    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        seconds = duration_seconds_of(inputs)
        return (ExpectedFile(role="video", media_type="video/mp4", size=size_of(inputs), duration_seconds=seconds),)

    def extras(self, inputs: Any) -> dict[str, Any]:
        return self.beside(inputs)

    def is_paid(self, role: str) -> bool:
        return role == "video"


@dataclass(frozen=True, kw_only=True)
class Audio:
    """`audio`: one file, of this format. Its length is known where the inputs say it."""

    extension: Literal["mp3", "wav"]
    seconds: Callable[[Any], float | None] = duration_seconds_of
    beside: Callable[[Any], dict[str, Any]] = no_extras

    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        media_type = MEDIA_TYPE_OF[self.extension]
        return (ExpectedFile(role="audio", media_type=media_type, duration_seconds=self.seconds(inputs)),)

    def extras(self, inputs: Any) -> dict[str, Any]:
        return self.beside(inputs)

    def is_paid(self, role: str) -> bool:
        return role == "audio"


@dataclass(frozen=True, kw_only=True)
class Files:
    """Named files that depend on the inputs, such as the meshes of a 3D model and its preview."""

    named: Callable[[Any], Mapping[str, str]]
    """Inputs → {JSON path: media type}."""
    paid: frozenset[str]
    """The paths that make up the product. One that fal leaves out costs nothing, the rest come along."""
    beside: Callable[[Any], dict[str, Any]] = no_extras

    def files(self, inputs: Any) -> tuple[ExpectedFile, ...]:
        return tuple(ExpectedFile(role=role, media_type=kind) for role, kind in self.named(inputs).items())

    def extras(self, inputs: Any) -> dict[str, Any]:
        return self.beside(inputs)

    def is_paid(self, role: str) -> bool:
        return role in self.paid
