"""Draws images: a soft background chosen by the seed, and the prompt on it. Also used for videos and textures."""

from __future__ import annotations

import colorsys
import io
import random
import struct
import zlib
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Size = tuple[int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

TEXT_CHARACTERS_MAX = 160
LINE_CHARACTERS = 22
PNG_SIGNATURE, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
# Fast settings rather than small files: a test run draws thousands of images.
ENCODERS: dict[str, dict[str, int]] = {
    "image/png": {"compress_level": 1},
    "image/jpeg": {"quality": 85},
    "image/webp": {"quality": 80, "method": 0},
    "image/gif": {"optimize": 0},
}


def draw(text: str, caption: str, *, seed: int, size: Size) -> Image.Image:
    """Return an image with the text in the middle and the caption at the bottom."""
    image = background(seed, size)
    write(image, text, caption)
    return image


def encode(image: Image.Image, media_type: str) -> bytes:
    """Return the image in the format of this media type."""
    out = io.BytesIO()
    image.save(out, format=media_type.removeprefix("image/"), **ENCODERS[media_type])
    return out.getvalue()


def pad(content: bytes, count: int) -> bytes:
    """Return a PNG or a JPEG that is larger by about `count` bytes. Other formats are returned unchanged."""
    if count and content.startswith(PNG_SIGNATURE):
        # A chunk whose name begins with a small letter may be skipped. It follows the header, which has 25 bytes.
        end = len(PNG_SIGNATURE) + 25
        name_and_data = b"paDd" + bytes(count)
        chunk = struct.pack(">I", count) + name_and_data + struct.pack(">I", zlib.crc32(name_and_data))
        return content[:end] + chunk + content[end:]
    if count and content.startswith(JPEG_START):
        comment = b"\xff\xfe" + struct.pack(">H", 0xFFFF) + bytes(0xFFFF - 2)
        return JPEG_START + comment * (count // len(comment)) + content[len(JPEG_START) :]
    return content


def black(size: Size) -> Image.Image:
    """Return a black image."""
    return Image.new("RGB", size)


def background(seed: int, size: Size) -> Image.Image:
    """Return a gradient between neighbouring hues: a grid of 5 × 5 pixels, enlarged with smooth interpolation."""
    chance = random.Random(seed)
    hue = chance.random()
    pixels = []
    for _ in range(25):
        pixel_hue, value = hue + chance.uniform(-0.12, 0.12), chance.uniform(0.45, 0.85)
        red, green, blue = colorsys.hsv_to_rgb(pixel_hue % 1, 0.62, value)
        pixels.append((round(red * 255), round(green * 255), round(blue * 255)))
    grid = Image.new("RGB", (5, 5))
    grid.putdata(pixels)
    return grid.resize(size, Image.Resampling.BICUBIC)


def write(image: Image.Image, text: str, caption: str) -> None:
    """Write the text in the middle of the image and the caption at the bottom, both in sizes that follow its width."""
    width, height = image.size
    canvas = ImageDraw.Draw(image)
    large = font(max(10, width // 18))
    small = font(max(8, width // 44))
    middle = (width / 2, height / 2)
    canvas.multiline_text(
        middle, wrap(text), font=large, fill="white", anchor="mm", align="center", spacing=width // 90
    )
    canvas.text((width / 2, height - width / 25), caption, font=small, fill=(255, 255, 255), anchor="mm")


def wrap(text: str) -> str:
    """Return at most 160 characters in lines of about 22, broken between words where possible."""
    if len(text) > TEXT_CHARACTERS_MAX:
        text = text[: TEXT_CHARACTERS_MAX - 1] + "…"
    lines = [""]
    for word in text.split():
        # Words longer than a line are cut.
        for piece in (word[i : i + LINE_CHARACTERS] for i in range(0, len(word), LINE_CHARACTERS)):
            if lines[-1] and len(lines[-1]) + len(piece) >= LINE_CHARACTERS:
                lines.append("")
            lines[-1] = f"{lines[-1]} {piece}".strip()
    return "\n".join(lines)


@lru_cache(maxsize=32)
def font(size: int) -> Font:
    """Return Pillow's built-in font. It is the same on every machine, and so are the drawn bytes."""
    return ImageFont.load_default(size)
