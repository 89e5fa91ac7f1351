"""Encodes an uploaded image again: upright, in common colours, without metadata and without data behind the image.

Runs in the sandbox process. It uses Pillow only, opens nothing, and writes only into the files it is given.
"""

from __future__ import annotations

import errno
import io
from typing import IO, Any

from PIL import Image, ImageCms, ImageOps

from generations.files.media_types import EXTENSION_OF_IMAGE_FORMAT, MediaInfo, NotMedia, is_out_of_memory

# The formats of uploads. GIF is missing, because a model would see one of its frames, and which one is not defined.
FORMATS = ("PNG", "JPEG", "WEBP")
# Half of what an output may have: here the image is decoded, rotated and encoded in one process.
PIXELS_MAX = 50_000_000
# A single line of a panorama is still an image; an image of one pixel is a tracking beacon.
SIDE_MIN = 8
THUMBNAIL_SIDE_MAX = 320
THUMBNAIL_TYPE = "image/webp"
_ORIENTATION = 0x0112
# Measured with 48 megapixels of noise on a busy core: PNG takes 4 s at level 1, and 16 s at level 6.
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 2},
}


def sanitize(file: IO[bytes], image: IO[bytes], thumbnail: IO[bytes]) -> MediaInfo:
    """Encode the first frame of the image in `file` again into `image`, and a small version into `thumbnail`.

    Returns:
        What the new image is.

    Raises:
        NotMedia: The file is not a complete PNG, JPEG or WebP image of a permitted size.
        MemoryError, OSError: The result could not be made or written, because the disk is full for example. This says
            nothing about the file. It ends the process of the sandbox.
    """
    file.seek(0)
    try:
        with Image.open(file, formats=FORMATS) as source:
            if source.width * source.height > PIXELS_MAX:
                raise NotMedia(f"an image of more than {PIXELS_MAX // 1_000_000} megapixels")
            if min(source.size) < SIDE_MIN:
                raise NotMedia(f"an image of less than {SIDE_MIN} pixels in width or height")
            image_format = str(source.format)
            source.load()
            profile = source.info.get("icc_profile")
            is_rotated = source.getexif().get(_ORIENTATION, 1) != 1
            upright = ImageOps.exif_transpose(source) if is_rotated else source
            clean = _to_srgb(_to_common_mode(upright), profile)
            # Pillow's encoders would write the metadata that they find here.
            clean.info = {}
    except NotMedia:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        # Decoders raise anything for broken bytes.
        raise NotMedia("not a complete PNG, JPEG or WebP image", detail=f"{error}"[:200]) from error
    _write(clean, image_format, image, thumbnail)
    return MediaInfo.of_type(
        EXTENSION_OF_IMAGE_FORMAT[image_format], proves_end=True, width=clean.width, height=clean.height
    )


def _write(clean: Image.Image, image_format: str, image: IO[bytes], thumbnail: IO[bytes]) -> None:
    try:
        clean.save(image, image_format, **_SAVE_OPTIONS[image_format])
        # What is written only when the file is closed would fail after the answer.
        image.flush()
    except OSError as error:
        # The limit of the process, SANITIZED_BYTES_MAX.
        if error.errno == errno.EFBIG:
            raise NotMedia("an image that has too many bytes without compression") from error
        raise
    # WebP has no greyscale.
    small = clean.copy() if clean.mode != "L" else clean.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE_MAX, THUMBNAIL_SIDE_MAX), reducing_gap=2)
    small.save(thumbnail, "WEBP", quality=80, method=2)
    thumbnail.flush()


def _to_common_mode(image: Image.Image) -> Image.Image:
    """Convert to greyscale, RGB or RGBA with 8 bits per channel. Always returns a new image."""
    if image.mode in ("L", "RGB", "RGBA"):
        return image.copy()
    if image.mode.startswith("I"):
        # Greyscale of 16 bits is scaled down: Pillow's own conversion would cut off all bright values.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert from a colour profile to sRGB, which programs assume without one. Photos of phones need it."""
    if not profile or image.mode == "L":
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError, ValueError):
        # The profile is malformed, or for another colour space than the image has.
        return image
    return converted or image
