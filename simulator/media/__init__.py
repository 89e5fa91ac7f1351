"""Draws the files of an answer from the order: the same order and request give the same bytes, always."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.media import fbx, glb, images, mp3, wav, webm

EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/webp": "webp",
    "image/gif": "gif",
    "video/webm": "webm",
    "model/gltf-binary": "glb",
    "application/octet-stream": "fbx",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
}

# What we draw in place of what we cannot: there is no H.264 here, and every browser plays VP8.
STAND_INS = {"video/mp4": "video/webm"}


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What a file shall show."""

    media_type: str
    text: str
    caption: str
    seed: int
    width: int = 1024
    height: int = 1024
    seconds: float = 5.0
    black: bool = False
    """What a safety checker makes of a picture."""


def drawn_type(media_type: str) -> str:
    """The media type in which a file of this type is drawn."""
    return STAND_INS.get(media_type, media_type)


def draw(drawing: Drawing) -> bytes:
    if drawing.media_type.startswith("image/"):
        return _picture(drawing)
    if drawing.media_type == "video/webm":
        return webm.draw(drawing.text, drawing.caption, seed=drawing.seed, seconds=drawing.seconds, tall=_tall(drawing))
    if drawing.media_type == "model/gltf-binary":
        return glb.draw(drawing.text, drawing.caption, seed=drawing.seed)
    if drawing.media_type == "audio/wav":
        return wav.draw(caption=drawing.caption, seed=drawing.seed, seconds=drawing.seconds)
    if drawing.media_type == "audio/mpeg":
        return mp3.draw(caption=drawing.caption, seed=drawing.seed, seconds=drawing.seconds)
    if drawing.media_type == "application/octet-stream":
        return fbx.draw(drawing.caption)
    raise ValueError(f"The simulator cannot draw {drawing.media_type}.")


def _picture(drawing: Drawing) -> bytes:
    size = (drawing.width, drawing.height)
    if drawing.black:
        return images.encode(images.black(size), drawing.media_type)
    picture = images.draw(drawing.text, drawing.caption, seed=drawing.seed, size=size)
    return images.encode(picture, drawing.media_type)


def _tall(drawing: Drawing) -> bool:
    return drawing.height > drawing.width
