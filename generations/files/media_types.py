"""The types of files that Limn stores, and what an inspection reports about a file.

Plain Python without Django: the sandbox process imports this module as well.
"""

from __future__ import annotations

from dataclasses import dataclass

# The largest images of fal have 16 megapixels (4K models), and 64 after upscaling.
PIXELS_MAX = 100_000_000
# A day. No model makes longer audio or video, so a file that claims more claims nonsense.
SECONDS_MAX = 86_400.0

# By extension: the kind and the content type. A file is stored as it came, even if something follows its end (a page,
# an archive): it is only served with this content type, "nosniff" and a sandbox, and its hash remains fal's.
TYPES = {
    "png": ("image", "image/png"),
    "jpg": ("image", "image/jpeg"),
    "webp": ("image", "image/webp"),
    "gif": ("image", "image/gif"),
    "mp4": ("video", "video/mp4"),
    "mov": ("video", "video/quicktime"),
    "webm": ("video", "video/webm"),
    "glb": ("3d", "model/gltf-binary"),
    "fbx": ("3d", "application/octet-stream"),
    "usdz": ("3d", "model/vnd.usdz+zip"),
    "obj": ("3d", "model/obj"),
    "mtl": ("3d", "model/mtl"),
    "m4a": ("audio", "audio/mp4"),
    "wav": ("audio", "audio/wav"),
    "mp3": ("audio", "audio/mpeg"),
    "ogg": ("audio", "audio/ogg"),
    "flac": ("audio", "audio/flac"),
}
# The format names of Pillow.
EXTENSION_OF_IMAGE_FORMAT = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif"}


class NotMedia(Exception):
    """The file is not a complete file of a known type. The message says what is wrong with it, for customers.

    Attributes:
        detail: What the decoder reported, for staff.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class TooCostly(NotMedia):
    """Inspecting the file took too much memory, disk or time. That may be the fault of the machine."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether Pillow has failed for want of memory, which proves nothing about the file."""
    # Its decoders in C report it as an OSError with this text.
    return isinstance(error, MemoryError) or "out of memory" in f"{error}"


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What a file is, according to its bytes."""

    kind: str
    """`image`, `video`, `audio` or `3d`."""
    content_type: str
    extension: str
    proves_end: bool
    """Whether the bytes themselves prove that none is missing at the end. Text, MP3 audio and open streams cannot."""
    width: int | None = None
    """In pixels; None if it is not an image."""
    height: int | None = None
    duration_seconds: float | None = None
    """As the file states it; None if its format or the file does not."""

    @classmethod
    def of_type(
        cls,
        extension: str,
        *,
        proves_end: bool,
        width: int | None = None,
        height: int | None = None,
        seconds: float | None = None,
    ) -> MediaInfo:
        """Return a description of a file of the type with this extension.

        A duration that cannot be true counts as none.
        """
        kind, content_type = TYPES[extension]
        return cls(
            kind=kind,
            content_type=content_type,
            extension=extension,
            proves_end=proves_end,
            width=width,
            height=height,
            duration_seconds=float(seconds) if seconds is not None and 0 < seconds <= SECONDS_MAX else None,
        )

    @property
    def is_plausible(self) -> bool:
        """Whether an inspection can have made this, for values that come from a process which cannot be trusted."""
        sides = (self.width, self.height)
        # Exact types, because a bool is an int as well.
        has_size = sides == (None, None) or all(type(side) is int and 0 < side <= PIXELS_MAX for side in sides)
        has_duration = self.duration_seconds is None or type(self.duration_seconds) is float
        is_known = TYPES.get(self.extension) == (self.kind, self.content_type)
        return has_size and has_duration and is_known and type(self.proves_end) is bool
