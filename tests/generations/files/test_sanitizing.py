"""Sanitizing an image: the new file has common colours and no metadata. (Uploads test it in the sandbox process.)"""

from __future__ import annotations

import errno
import io

import pytest
from PIL import Image, ImageCms, ImageFile

from generations.files import sandbox, sanitizing
from generations.files.inspection import inspect
from generations.files.media_types import MediaInfo, TooCostly
from tests.helpers.images import picture

pytestmark = pytest.mark.once


def sanitized(content: bytes) -> tuple[MediaInfo, bytes]:
    file, image, thumbnail = io.BytesIO(content), io.BytesIO(), io.BytesIO()
    return sanitizing.sanitize(file, image, thumbnail), image.getvalue()


class FullDisk(io.BytesIO):
    def write(self, chunk: object, /) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_c29_a_result_that_cannot_be_written_says_nothing_about_the_image() -> None:
    with pytest.raises(OSError, match="No space left"):
        sanitizing.sanitize(io.BytesIO(picture()), FullDisk(), io.BytesIO())
    with pytest.raises(OSError, match="No space left"):
        sanitizing.sanitize(io.BytesIO(picture()), io.BytesIO(), FullDisk())


@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory error when reading image file")], ids=repr)
def test_g14_an_image_for_which_there_is_no_memory_is_not_called_broken(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)

    with pytest.raises(MemoryError):
        sanitized(picture())
    with pytest.raises(MemoryError):
        inspect(io.BytesIO(picture()), len(picture()))


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

            with pytest.raises(TooCostly):
                sandbox.sanitize(file, image, thumbnail)
    finally:
        sandbox.close()
