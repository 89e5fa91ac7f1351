"""Draws the content of output files from the inputs of a job.

The outcome builder describes each file as a `Drawing`; `draw` turns it into bytes. The same drawing always gives the
same bytes, so the simulator stores drawings instead of files. The files are valid: other programs open them.
"""

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

# There is no H.264 encoder here. WebM can be written without one, and every browser plays it.
SUBSTITUTES = {"video/mp4": "video/webm"}


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What one file shows. Which fields matter depends on the media type."""

    media_type: str
    text: str
    caption: str
    seed: int
    width: int = 1024
    height: int = 1024
    seconds: float = 5.0
    black: bool = False
    """A black image, as fal's safety checker returns it."""
    padding_bytes: int = 0
    """How much larger a PNG or a JPEG is than it needs to be. Readers skip the padding."""


def drawn_type(media_type: str) -> str:
    """Return the media type in which a file of this type is drawn."""
    return SUBSTITUTES.get(media_type, media_type)


def draw(drawing: Drawing) -> bytes:
    """Return the content of a file. Raises ValueError for a media type that is not in EXTENSIONS."""
    text, caption, seed = drawing.text, drawing.caption, drawing.seed
    if drawing.media_type.startswith("image/"):
        size = (drawing.width, drawing.height)
        image = images.black(size) if drawing.black else images.draw(text, caption, seed=seed, size=size)
        return images.pad(images.encode(image, drawing.media_type), drawing.padding_bytes)
    if drawing.media_type == "video/webm":
        is_portrait = drawing.height > drawing.width
        return webm.draw(text, caption, seed=seed, seconds=drawing.seconds, is_portrait=is_portrait)
    if drawing.media_type == "model/gltf-binary":
        return glb.draw(text, caption, seed=seed)
    if drawing.media_type == "audio/wav":
        return wav.draw(caption=caption, seed=seed, seconds=drawing.seconds)
    if drawing.media_type == "audio/mpeg":
        return mp3.draw(caption=caption, seed=seed, seconds=drawing.seconds)
    if drawing.media_type == "application/octet-stream":
        return fbx.draw(caption)
    raise ValueError(f"The simulator cannot draw {drawing.media_type}.")
