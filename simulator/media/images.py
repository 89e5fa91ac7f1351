"""Pictures: a soft background grown from the seed, and the order's words on it."""

from __future__ import annotations

import colorsys
import io
import random
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Size = tuple[int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

TEXT_CHARACTERS_MAX = 160
LINE_CHARACTERS = 22
# Fast rather than small: a simulator draws thousands of pictures in a test run.
ENCODERS: dict[str, dict[str, int]] = {
    "image/png": {"compress_level": 1},
    "image/jpeg": {"quality": 85},
    "image/webp": {"quality": 80, "method": 0},
    "image/gif": {"optimize": 0},
}


def draw(text: str, caption: str, *, seed: int, size: Size) -> Image.Image:
    picture = background(seed, size)
    write(picture, text, caption)
    return picture


def encode(picture: Image.Image, media_type: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=media_type.removeprefix("image/"), **ENCODERS[media_type])
    return out.getvalue()


def black(size: Size) -> Image.Image:
    return Image.new("RGB", size)


def background(seed: int, size: Size) -> Image.Image:
    """A few neighbouring hues on a small grid, blown up until they flow into each other."""
    chance = random.Random(seed)
    hue = chance.random()
    grid = Image.new("RGB", (5, 5))
    grid.putdata([_colour(hue + chance.uniform(-0.12, 0.12), chance.uniform(0.45, 0.85)) for _ in range(25)])
    return grid.resize(size, Image.Resampling.BICUBIC)


def write(picture: Image.Image, text: str, caption: str) -> None:
    """The words in the middle, the caption at the foot."""
    width, height = picture.size
    pen = ImageDraw.Draw(picture)
    large = font(max(10, width // 18))
    small = font(max(8, width // 44))
    middle = (width / 2, height / 2)
    pen.multiline_text(middle, wrap(text), font=large, fill="white", anchor="mm", align="center", spacing=width // 90)
    pen.text((width / 2, height - width / 25), caption, font=small, fill=(255, 255, 255), anchor="mm")


def wrap(text: str) -> str:
    """At most 160 characters, in lines of about 22, broken between words where there are any."""
    if len(text) > TEXT_CHARACTERS_MAX:
        text = text[: TEXT_CHARACTERS_MAX - 1] + "…"
    lines = [""]
    for word in text.split():
        for piece in (word[i : i + LINE_CHARACTERS] for i in range(0, len(word), LINE_CHARACTERS)):
            if lines[-1] and len(lines[-1]) + len(piece) >= LINE_CHARACTERS:
                lines.append("")
            lines[-1] = f"{lines[-1]} {piece}".strip()
    return "\n".join(lines)


@lru_cache(maxsize=32)
def font(size: int) -> Font:
    """Pillow's own typeface: the same on every machine, so the bytes are too."""
    return ImageFont.load_default(size)


def _colour(hue: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, 0.62, value)
    return round(red * 255), round(green * 255), round(blue * 255)
