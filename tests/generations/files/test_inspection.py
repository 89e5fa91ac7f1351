"""A file is identified by its bytes, and only if it is complete."""

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

from generations.files.formats import mp4
from generations.files.formats.byte_reader import HEAD_BYTES
from generations.files.inspection import expected_extension, inspect
from generations.files.media_types import PIXELS_MAX, TYPES, MediaInfo, NotMedia
from tests.generations.files.example_files import (
    FILES,
    box,
    drawn,
    film,
    film_with_duration,
    film_with_long_boxes,
    matroska,
    picture,
    png_bomb,
    png_chunk,
    streamed_wav,
    streamed_webm,
    usdz,
)

pytestmark = pytest.mark.once

SIZES = {"png": (320, 200), "jpg": (320, 200), "webp": (320, 200), "gif": (64, 48)}
# Their formats state nowhere how long the file is.
WITHOUT_LENGTH = {"fbx", "mp3", "obj", "mtl", "ogg", "flac"}


def inspected(data: bytes) -> MediaInfo:
    return inspect(io.BytesIO(data), len(data))


def extension_of(data: bytes) -> str:
    """The extension of the type that is found, or "refused"."""
    try:
        return inspected(data).extension
    except NotMedia:
        return "refused"


@pytest.mark.parametrize("extension", FILES)
def test_a_file_is_identified_by_its_bytes(extension: str) -> None:
    found = inspected(FILES[extension])

    assert (found.extension, found.kind, found.content_type) == (extension, *TYPES[extension])
    assert (found.width, found.height) == SIZES.get(extension, (None, None))


@pytest.mark.parametrize("extension", FILES)
def test_the_first_bytes_of_most_files_tell_the_type(extension: str) -> None:
    another = {"mov": "mp4", "m4a": "mp4", "mtl": "obj"}

    assert expected_extension(FILES[extension][:HEAD_BYTES]) == another.get(extension, extension)


def test_the_first_bytes_of_an_unknown_file_tell_nothing() -> None:
    assert expected_extension(b"MZ") is None


def test_an_image_may_have_any_colour_depth() -> None:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        assert inspected(picture("PNG", mode)).width == 64


def test_a_format_may_be_written_in_several_ways() -> None:
    variants = {
        "mp4": [film_with_long_boxes()],
        "webm": [streamed_webm(), matroska()],
        "wav": [streamed_wav()],
        "mp3": [signature + bytes(50) for signature in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")],
    }

    assert {extension: {extension_of(data) for data in files} for extension, files in variants.items()} == {
        extension: {extension} for extension in variants
    }


# --- Incomplete files ---


def test_c4_a_truncated_file_is_refused() -> None:
    for extension in FILES.keys() - WITHOUT_LENGTH:
        data = FILES[extension]
        for left in (0.3, 0.6, 0.9):
            assert extension_of(data[: int(len(data) * left)]) == "refused", (extension, left)


def test_a_single_missing_byte_is_noticed() -> None:
    for extension in ("webp", "webm", "mp4", "mov", "m4a", "glb", "wav"):
        assert extension_of(FILES[extension][:-1]) == "refused", extension


def test_a_film_cut_between_two_boxes_is_refused() -> None:
    with pytest.raises(NotMedia, match="without a movie header"):
        inspected(box(b"ftyp", b"isom" + bytes(4)) + box(b"mdat", bytes(400)))


def test_a_truncated_file_of_a_format_without_length_is_accepted() -> None:
    """Its end is not proven: the copier compares its size with fal's file_size, or with what the server says."""
    for extension in WITHOUT_LENGTH:
        assert extension_of(FILES[extension][: 300 if extension == "mp3" else 60]) == extension


# --- Proof of the end ---

# The header of a film in fragments says so.
FRAGMENTED = box(b"moov", box(b"mvhd", bytes(100)) + box(b"trak", bytes(60)) + box(b"mvex", bytes(24)))
FRAMES = (picture("GIF", size=(300, 200)), picture("GIF", "L", size=(300, 200)))


def animation(kind: str) -> bytes:
    """An animation of two pictures."""
    first, second = (Image.open(io.BytesIO(frame)).convert("RGB") for frame in FRAMES)
    file = io.BytesIO()
    first.save(file, kind, save_all=True, append_images=[second.rotate(30)], duration=100)
    return file.getvalue()


def progressive_jpeg() -> bytes:
    """A JPEG image in several scans: each beginning of it shows the whole picture, with less detail."""
    file = io.BytesIO()
    Image.open(io.BytesIO(FILES["png"])).convert("RGB").save(file, "JPEG", progressive=True)
    return file.getvalue()


def sound_of_length(length: int) -> bytes:
    """A WAV file with this length in its header."""
    sound = drawn("audio/wav")
    return sound[:4] + struct.pack("<I", length) + sound[8:]


PROVEN = {
    **{extension: FILES[extension] for extension in FILES.keys() - WITHOUT_LENGTH},
    "progressive JPEG": progressive_jpeg(),
    "animated GIF": animation("GIF"),
    "animated WebP": animation("WEBP"),
    "animated PNG": animation("PNG"),
    "a film whose header comes last": box(b"ftyp", b"isom" + bytes(4)) + box(b"mdat", bytes(9)) + box(b"moov", b"x"),
    "fragments with an index": box(b"ftyp", b"iso5") + FRAGMENTED + box(b"moof") + box(b"mdat") + box(b"mfra"),
}
UNPROVEN = {
    **{extension: FILES[extension] for extension in WITHOUT_LENGTH},
    "an open box": film_with_long_boxes(),
    "fragments": box(b"ftyp", b"iso5") + FRAGMENTED + box(b"moof", bytes(8)) + box(b"mdat", bytes(80)),
    "a fragmented film without moof": box(b"ftyp", b"iso5") + FRAGMENTED + box(b"mdat", bytes(80)),
    "a header without its film": box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", bytes(40)),
    "one of two films": film() + box(b"mdat", bytes(20)),
    "an open WebM": streamed_webm(),
    "an open WAV": streamed_wav(),
    **{f"a WAV of {length} bytes": sound_of_length(length) for length in (0, 2_000_000_036, 0x7FFFFFFF)},
    "a PNG with data behind it": FILES["png"] + b"more",
    "a JPEG with data behind it": FILES["jpg"] + b"more",
    "a GIF with data behind it": FILES["gif"] + b";",
    "a WebP with data behind it": FILES["webp"] + b"more",
    "a WAV with data behind it": FILES["wav"] + b"more",
    "a GIF without its trailer": FILES["gif"][:-1],
    "a USDZ with a comment": usdz()[:-2] + b"\x04\0more",
}


@pytest.mark.parametrize("data", PROVEN.values(), ids=PROVEN)
def test_c5_a_format_with_an_end_proves_it(data: bytes) -> None:
    assert inspected(data).proves_end is True


@pytest.mark.parametrize("data", UNPROVEN.values(), ids=UNPROVEN)
def test_c5_the_end_of_another_file_is_not_proven(data: bytes) -> None:
    assert inspected(data).proves_end is False


# The rest begins with a complete file.
CUT = PROVEN | {name: data for name, data in UNPROVEN.items() if not re.search("behind it|one of two", name)}


@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_c5_no_beginning_of_a_file_proves_an_end(data: bytes) -> None:
    """Wherever the connection was closed, also behind a picture of an animation or a box of a film."""
    places = {*range(100), *range(100, len(data), max(1, len(data) // 100)), *range(len(data) - 40, len(data))}
    for left in filter(range(1, len(data)).__contains__, places):
        try:
            found = inspected(data[:left])
        except NotMedia:
            continue
        assert found.proves_end is False, left


# --- Duration ---


def test_the_duration_of_audio_and_video_is_read() -> None:
    files = {
        "wav": (drawn("audio/wav"), 1.0),
        "webm": (drawn("video/webm"), 1.0),
        "mp3": (drawn("audio/mpeg"), 1.008),
        "mp4": (film_with_duration(1000, 8_040), 8.04),
        "mp4 with 64 bits": (film_with_duration(600, 3_000, version=1), 5.0),
    }

    for name, (data, seconds) in files.items():
        assert inspected(data).duration_seconds == pytest.approx(seconds), name


def test_a_missing_or_impossible_duration_counts_as_none() -> None:
    files = {
        "no time units": film_with_duration(0, 5),
        "years": film_with_duration(1, 2**31),
        "no movie header": film(),
        "no segment info": streamed_webm(),
        "a mesh": FILES["glb"],
        "an image": FILES["png"],
    }

    assert [name for name, data in files.items() if inspected(data).duration_seconds is not None] == []


# --- Other files ---

HTML = b"<!doctype html><title>Error</title><h1>The file could not be loaded</h1>"
NOT_MEDIA = {
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
    "a page with the signature of PNG": b"\x89PNG\r\n\x1a\n" + HTML,
    "a page with the signature of JPEG": b"\xff\xd8\xff\xe0" + HTML,
    "a page with the signature of GIF": b"GIF89a" + HTML,
    "a page with the signature of WebP": b"RIFF\x00\x00\x00\x00WEBP" + HTML,
    "a page with the signature of MP4": b"\x00\x00\x00\x10ftypisom" + HTML,
    "a page with the signature of WebM": b"\x1a\x45\xdf\xa3" + HTML,
    "a page with the signature of GLB": b"glTF\x02\x00\x00\x00" + HTML,
    "an image in the boxes of a film": box(b"ftyp", b"avif" + bytes(4)) + box(b"meta", bytes(90)) + box(b"mdat"),
    "EBML of another kind": bytes.fromhex("1a45dfa3 87 4282 84") + b"xxxx" + bytes(60),
    "a WebM without a body": bytes.fromhex("1a45dfa3 87 4282 84") + b"webm" + bytes(60),
    "a WebM without a size": bytes.fromhex("1a45dfa3 00 4282 84") + b"webm" + bytes(60),
    "a WebM that ends in its header": bytes.fromhex("1a45dfa3 87 4282 84") + b"webm" + bytes.fromhex("18538067"),
    "a GLB without a scene": b"glTF\x02\x00\x00\x00\x0c\x00\x00\x00",
    "a GLB of version 1": b"glTF\x01\x00\x00\x00" + FILES["glb"][8:],
    "a box shorter than its header": film() + struct.pack(">I4s", 4, b"free"),
    "a long box shorter than its header": film() + struct.pack(">I4sQ", 1, b"free", 8),
    "a box with half a header": film() + b"\x00\x00\x00",
    "too many boxes": box(b"ftyp", b"isom") + box(b"moov") + box(b"free") * mp4.BOXES_MAX,
    "an ID3 tag without audio": b"ID3\x03\0\0\0\0\0\x14" + bytes(400),
    "an archive with a page": usdz("page.html"),
    "a USDZ with compression": usdz(packed=True),
    "a USDZ without its directory": usdz()[:-30],
    "a text like a mesh": b"# a text\n",
}


def test_c11_c12_other_files_are_refused() -> None:
    """C11 and C12: whatever content type and name they came with."""
    assert [name for name, data in NOT_MEDIA.items() if extension_of(data) != "refused"] == []


def test_c13_an_image_with_data_behind_it_is_an_image() -> None:
    """The data is kept. A browser cannot use it, because the file is served as an image with nosniff."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("index.html", HTML)

    found = inspected(drawn("image/png") + archive.getvalue())

    assert (found.content_type, found.extension) == ("image/png", "png")


# --- Decompression bombs ---

BOMBS = {
    "a little too large": png_bomb(10_001, 10_000),
    "more than twice too large": png_bomb(20_001, 10_000),
    "as large as the format allows": png_bomb(2**31 - 1, 2**31 - 1),
    "a GIF": b"GIF89a\xff\xff\xff\xff" + FILES["gif"][10:],
}


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_g14_a_bomb_is_refused_before_it_is_decoded(action: str) -> None:
    """However Python treats the warnings of Pillow."""
    for bomb in BOMBS.values():
        with warnings.catch_warnings():
            warnings.simplefilter("error" if action == "error" else "ignore", Image.DecompressionBombWarning)
            with pytest.raises(NotMedia) as refused:
                inspected(bomb)

        assert re.search(f"more than {PIXELS_MAX} pixels|exceeds limit", f"{refused.value} {refused.value.detail}")


def test_an_image_without_pixels_is_refused() -> None:
    assert extension_of(png_bomb(0, 0)) == "refused"


def test_a_text_of_gigabytes_in_an_image_is_refused() -> None:
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))
    image = drawn("image/png")

    assert extension_of(image[:33] + text + image[33:]) == "refused"


# --- Random files ---

SIGNATURES = [b"", *(data[:16] for data in FILES.values())]


@given(signature=st.sampled_from(SIGNATURES), data=st.binary(max_size=200))
def test_random_bytes_are_identified_or_refused(signature: bytes, data: bytes) -> None:
    assert extension_of(signature + data) in {*FILES, "refused"}


@given(extension=st.sampled_from(sorted(FILES)), place=st.floats(0, 0.999), damage=st.binary(min_size=1, max_size=8))
def test_damaged_files_are_identified_or_refused(extension: str, place: float, damage: bytes) -> None:
    data = FILES[extension]
    at = int(place * min(len(data), 2000))

    assert extension_of(data[:at] + damage + data[at + len(damage) :]) in {*FILES, "refused"}
