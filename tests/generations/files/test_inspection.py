"""A file is what its bytes say, and only if they are all there."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from generations.files import inspection
from generations.files.inspection import PIXELS_MAX, Inspected, NotMedia, inspect
from tests.generations.files.example_files import (
    FILES,
    box,
    drawn,
    film,
    large_film,
    matroska,
    picture,
    streamed_wav,
    streamed_webm,
    usdz,
)

pytestmark = pytest.mark.once

WHAT = {
    "png": ("image", "image/png", 320, 200),
    "jpg": ("image", "image/jpeg", 320, 200),
    "webp": ("image", "image/webp", 320, 200),
    "gif": ("image", "image/gif", 64, 48),
    "webm": ("video", "video/webm", None, None),
    "mp4": ("video", "video/mp4", None, None),
    "mov": ("video", "video/quicktime", None, None),
    "m4a": ("audio", "audio/mp4", None, None),
    "glb": ("3d", "model/gltf-binary", None, None),
    "fbx": ("3d", "application/octet-stream", None, None),
    "usdz": ("3d", "model/vnd.usdz+zip", None, None),
    "obj": ("3d", "model/obj", None, None),
    "mtl": ("3d", "model/mtl", None, None),
    "wav": ("audio", "audio/wav", None, None),
    "mp3": ("audio", "audio/mpeg", None, None),
    "ogg": ("audio", "audio/ogg", None, None),
    "flac": ("audio", "audio/flac", None, None),
}
# Their formats say nowhere how long they are.
ENDLESS = {"fbx", "mp3", "obj", "mtl", "ogg", "flac"}


def look(data: bytes) -> Inspected:
    return inspect(io.BytesIO(data), len(data))


@pytest.mark.parametrize("extension", FILES)
def test_a_file_is_known_by_its_bytes(extension: str) -> None:
    found = look(FILES[extension])

    assert found.extension == extension
    assert (found.kind, found.content_type, found.width, found.height) == WHAT[extension]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_picture_may_have_any_depth(mode: str) -> None:
    assert look(picture("PNG", mode)).width == 64


@pytest.mark.parametrize(
    "data, extension",
    [
        (large_film(), "mp4"),
        (streamed_webm(), "webm"),
        (matroska(), "webm"),
        (streamed_wav(), "wav"),
        *((magic + bytes(50), "mp3") for magic in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")),
    ],
)
def test_a_file_may_be_written_in_several_ways(data: bytes, extension: str) -> None:
    assert look(data).extension == extension


# --- Cut short ---


@pytest.mark.parametrize("left", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("extension", [extension for extension in FILES if extension not in ENDLESS])
def test_a_file_that_was_cut_short_is_none(extension: str, left: float) -> None:
    data = FILES[extension]

    with pytest.raises(NotMedia):
        look(data[: int(len(data) * left)])


@pytest.mark.parametrize("extension", ["webp", "webm", "mp4", "mov", "m4a", "glb", "wav"])
def test_a_single_missing_byte_is_noticed(extension: str) -> None:
    with pytest.raises(NotMedia):
        look(FILES[extension][:-1])


def test_a_film_cut_between_two_boxes_is_none() -> None:
    with pytest.raises(NotMedia, match="without a film"):
        look(box(b"ftyp", b"isom" + bytes(4)) + box(b"mdat", bytes(400)))


@pytest.mark.parametrize("extension", sorted(ENDLESS))
def test_what_cannot_say_how_long_it_is_is_believed(extension: str) -> None:
    """Against this, fal's file_size helps, and the Content-Length."""
    begun = 300 if extension == "mp3" else 60

    assert look(FILES[extension][:begun]).extension == extension


# --- How long it lasts ---


def film_of(units: int, length: int, *, version: int = 0) -> bytes:
    """An MP4 whose header says so many units, and so many to the second."""
    times = bytes(16 if version else 8)
    header = struct.pack(">B3x", version) + times + struct.pack(">IQ" if version else ">II", units, length) + bytes(80)
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", box(b"mvhd", header)) + box(b"mdat", bytes(40))


@pytest.mark.parametrize(
    "data, seconds",
    [
        (drawn("audio/wav"), 1.0),
        (drawn("video/webm"), 1.0),
        (drawn("audio/mpeg"), 1.008),
        (film_of(1000, 8_040), 8.04),
        (film_of(600, 3_000, version=1), 5.0),
    ],
    ids=["wav", "webm", "mp3", "mp4", "mp4 of version 1"],
)
def test_a_sound_or_film_says_how_long_it_lasts(data: bytes, seconds: float) -> None:
    assert look(data).duration_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "data",
    [film_of(0, 5), film_of(1, 2**31), film(), streamed_webm(), FILES["glb"], FILES["png"]],
    ids=["no units", "years", "no header", "no info", "a mesh", "a picture"],
)
def test_what_says_no_length_or_nonsense_has_none(data: bytes) -> None:
    assert look(data).duration_seconds is None


@pytest.mark.parametrize(
    "data", [b"ID3\x03\0\0\0\0\0\x14" + bytes(400), usdz("page.html"), usdz(packed=True), usdz()[:-30], b"# a text\n"]
)
def test_what_only_begins_like_sound_or_mesh_is_none(data: bytes) -> None:
    with pytest.raises(NotMedia):
        look(data)


# --- Not what they seem ---

HTML = b"<!doctype html><title>Error</title><h1>The file could not be loaded</h1>"
OTHERS = {
    "nothing": b"",
    "one byte": b"\x89",
    "an error page": HTML,
    "JSON": b'{"detail": "Not found"}',
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "SVG with a declaration": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "PDF": b"%PDF-1.7\n" + bytes(100),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "JavaScript": b"alert(1)",
    "a program": b"\x7fELF" + bytes(100),
    "a ZIP": b"PK\x03\x04" + bytes(100),
    "TIFF": picture("TIFF"),
    "BMP": picture("BMP"),
    "ICO": picture("ICO"),
    "a page called PNG": b"\x89PNG\r\n\x1a\n" + HTML,
    "a page called JPEG": b"\xff\xd8\xff\xe0" + HTML,
    "a page called GIF": b"GIF89a" + HTML,
    "a page called WebP": b"RIFF\x00\x00\x00\x00WEBP" + HTML,
    "a page called MP4": b"\x00\x00\x00\x10ftypisom" + HTML,
    "a page called WebM": b"\x1a\x45\xdf\xa3" + HTML,
    "a page called GLB": b"glTF\x02\x00\x00\x00" + HTML,
    "a picture in a film's wrapping": box(b"ftyp", b"avif" + bytes(4)) + box(b"meta", bytes(90)) + box(b"mdat"),
    "EBML of another kind": bytes.fromhex("1a45dfa3 87 4282 84") + b"xxxx" + bytes(60),
    "a WebM without a body": bytes.fromhex("1a45dfa3 87 4282 84") + b"webm" + bytes(60),
    "a WebM without a size": bytes.fromhex("1a45dfa3 00 4282 84") + b"webm" + bytes(60),
    "a WebM that ends in its head": bytes.fromhex("1a45dfa3 87 4282 84") + b"webm" + bytes.fromhex("18538067"),
    "a GLB without a scene": b"glTF\x02\x00\x00\x00\x0c\x00\x00\x00",
    "a GLB of version 1": b"glTF\x01\x00\x00\x00" + FILES["glb"][8:],
    "a box that is smaller than itself": film() + struct.pack(">I4s", 4, b"free"),
    "a large box that is smaller than itself": film() + struct.pack(">I4sQ", 1, b"free", 8),
    "a box with half a head": film() + b"\x00\x00\x00",
    "a film of nothing but boxes": box(b"ftyp", b"isom") + box(b"moov") + box(b"free") * inspection.BOXES_MAX,
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_what_is_not_media_is_refused(data: bytes) -> None:
    """C11, C12: whatever it is called."""
    with pytest.raises(NotMedia):
        look(data)


def test_a_picture_with_something_behind_it_is_a_picture() -> None:
    """C13: the tail comes along. It is served as a picture, by a type that browsers may not doubt (nosniff)."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("index.html", HTML)

    found = look(drawn("image/png") + archive.getvalue())

    assert (found.content_type, found.extension) == ("image/png", "png")


# --- Bombs ---


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int) -> bytes:
    """A head that claims so many pixels, and next to none of them."""
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


BOMBS = {
    "a little too large": _png(10_001, 10_000),
    "more than twice too large": _png(20_001, 10_000),
    "as large as can be written": _png(2**31 - 1, 2**31 - 1),
    "a GIF": b"GIF89a\xff\xff\xff\xff" + FILES["gif"][10:],
}


@pytest.mark.parametrize("warned", ["error", "ignore"])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_never_unpacked(bomb: bytes, warned: str) -> None:
    """G14: however Python is told to treat Pillow's warnings, and in several threads at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("error" if warned == "error" else "ignore", Image.DecompressionBombWarning)
        with pytest.raises(NotMedia) as refused:
            look(bomb)

    assert re.search(f"more than {PIXELS_MAX} pixels|exceeds limit", f"{refused.value} {refused.value.detail}")


def test_a_picture_without_pixels_is_none() -> None:
    with pytest.raises(NotMedia):
        look(_png(0, 0))


def test_a_text_that_unpacks_to_gigabytes_is_refused() -> None:
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))
    whole = drawn("image/png")

    with pytest.raises(NotMedia):
        look(whole[:33] + text + whole[33:])


# --- Whatever comes ---

MAGICS = [b"", *(data[:16] for data in FILES.values())]


@given(magic=st.sampled_from(MAGICS), data=st.binary(max_size=200))
def test_random_bytes_are_media_or_not(magic: bytes, data: bytes) -> None:
    assert _look_at_anything(magic + data) in {*FILES, "refused"}


@given(extension=st.sampled_from(sorted(FILES)), place=st.floats(0, 0.999), damage=st.binary(min_size=1, max_size=8))
def test_damaged_files_are_media_or_not(extension: str, place: float, damage: bytes) -> None:
    data = FILES[extension]
    at = int(place * min(len(data), 2000))
    assert _look_at_anything(data[:at] + damage + data[at + len(damage) :]) in {*FILES, "refused"}


def _look_at_anything(data: bytes) -> str:
    try:
        return look(data).extension
    except NotMedia:
        return "refused"
