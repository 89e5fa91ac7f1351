"""A picture as it looks, and nothing else of what its file told: turned upright, in common colours, without metadata.

Plain Pillow, for the limited process (see `prober`): it opens nothing, and writes only into the files it is given.
"""

from __future__ import annotations

import io
from typing import IO, Any

from PIL import Image, ImageCms, ImageOps

from generations.files.inspection import Inspected, NotMedia

# What an upload may be. No GIF: of its frames a model would see one, and nobody knows which.
FORMATS = ("PNG", "JPEG", "WEBP")
# Half of what `inspection` lets a result have: here it is decoded, turned and written again, in one process.
PIXELS_MAX = 50_000_000
# A line or a column of the whole is still a picture; a single point is a web beacon.
SIDE_MIN = 8
THUMBNAIL_SIDE_MAX = 320
THUMBNAIL_TYPE = "image/webp"
_ORIENTATION = 0x0112
_EXTENSION_OF = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
# Measured with 48 megapixels of noise on a busy core: PNG at level 1 takes 4 s, at 6 it takes 16.
_SAVING: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 2},
}


def clean(file: IO[bytes], image: IO[bytes], thumbnail: IO[bytes]) -> Inspected:
    """Write the picture in `file` anew into `image`, and small into `thumbnail`. What it is. Raises NotMedia."""
    file.seek(0)
    try:
        with Image.open(file, formats=FORMATS) as opened:
            _require_a_size(opened)
            kind = str(opened.format)
            picture = _as_it_looks(opened)
            picture.save(image, kind, **_SAVING[kind])
            _small(picture).save(thumbnail, "WEBP", quality=80, method=2)
    except NotMedia:
        raise
    except Exception as error:
        # Decoders meet broken bytes with whatever comes to hand.
        raise NotMedia("not a whole PNG, JPEG or WebP picture", detail=f"{error}"[:200]) from error
    extension = _EXTENSION_OF[kind]
    width, height = picture.size
    return Inspected(kind="image", content_type=Image.MIME[kind], extension=extension, width=width, height=height)


def _require_a_size(image: Image.Image) -> None:
    if image.width * image.height > PIXELS_MAX:
        raise NotMedia(f"a picture of more than {PIXELS_MAX // 1_000_000} megapixels")
    if min(image.size) < SIDE_MIN:
        raise NotMedia(f"a picture of less than {SIDE_MIN} pixels in width or height")


def _as_it_looks(opened: Image.Image) -> Image.Image:
    """Its first frame, upright, in RGB or greys, with its transparency; and of the rest of the file nothing."""
    opened.load()
    profile = opened.info.get("icc_profile")
    upright = ImageOps.exif_transpose(opened) if opened.getexif().get(_ORIENTATION, 1) != 1 else opened
    plain = _in_common_colours(_in_a_plain_mode(upright), profile)
    # Pixels alone: Pillow's writers take what they find in `info` along.
    plain.info = {}
    return plain


def _in_a_plain_mode(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB", "RGBA"):
        return image.copy()
    if image.mode.startswith("I"):
        # Sixteen bits of grey: Pillow itself would cut the bright ones off.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _in_common_colours(image: Image.Image, profile: bytes | None) -> Image.Image:
    """In sRGB, which is what a picture without a profile is taken for: a telephone's would look pale else."""
    if not profile or image.mode == "L":
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A profile that nobody understands, or one for other inks than these.
        return image
    return converted or image


def _small(image: Image.Image) -> Image.Image:
    small = image.copy() if image.mode != "L" else image.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE_MAX, THUMBNAIL_SIDE_MAX), reducing_gap=2)
    return small
