"""Sanitizing an image: the new file has common colours and no metadata. (Uploads test it in the sandbox process.)"""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageCms

from generations.files import sandbox, sanitizing
from generations.files.media_types import MediaInfo, NotMedia
from tests.helpers.images import picture

pytestmark = pytest.mark.once


def sanitized(content: bytes) -> tuple[MediaInfo, bytes]:
    file, image, thumbnail = io.BytesIO(content), io.BytesIO(), io.BytesIO()
    return sanitizing.sanitize(file, image, thumbnail), image.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_an_image_of_any_mode_becomes_one_of_a_common_mode(mode: str) -> None:
    found, image = sanitized(picture("JPEG" if mode == "CMYK" else "PNG", mode))

    assert (found.width, found.height) == (64, 48)
    assert sanitized(image)[0] == found


def test_an_image_with_a_colour_profile_keeps_its_colours() -> None:
    """The profile of this image says that red is green."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"-XYZ").replace(b"gXYZ", b"rXYZ").replace(b"-XYZ", b"gXYZ")
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG", icc_profile=swapped)

    with Image.open(io.BytesIO(sanitized(file.getvalue())[1])) as image:
        assert image.getpixel((8, 8)) == pytest.approx((0, 255, 0), abs=3)
        assert "icc_profile" not in image.info


@pytest.mark.slow
def test_an_image_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    sandbox.close()
    # The helper process that starts now keeps this limit.
    monkeypatch.setattr(sandbox, "SECONDS_MAX", 1)
    try:
        with (
            (tmp_path / "file").open("w+b") as file,
            (tmp_path / "image").open("w+b") as image,
            (tmp_path / "thumbnail").open("w+b") as thumbnail,
        ):
            # Noise cannot be compressed, which takes twice the limit on a fast machine.
            Image.effect_noise((7000, 7000), 100).save(file, "PNG", compress_level=0)

            with pytest.raises(NotMedia, match="too much memory or time"):
                sandbox.sanitize(file, image, thumbnail)
    finally:
        sandbox.close()
