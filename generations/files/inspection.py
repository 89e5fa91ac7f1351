"""What a file is, by its bytes. What outsiders call it (content type, name) is never asked."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from PIL import Image

# fal's largest picture has 16 megapixels in 4K models and 64 after upscaling.
PIXELS_MAX = 100_000_000
Image.MAX_IMAGE_PIXELS = PIXELS_MAX
# A long video in fragments of a second has some ten thousand; a file of nothing but empty boxes has millions.
BOXES_MAX = 100_000
# What a header may hold before the first frame or the length of a film; further than this nobody looks.
CHUNKS_MAX = 64
SYNC_BYTES_MAX = 4096
# The format's own limit.
SAFETENSORS_HEADER_BYTES_MAX = 100_000_000
# A day of sound or film is no answer of a model.
SECONDS_MAX = 86_400.0


class NotMedia(Exception):
    """Not a whole file of a type that we store. Its message is for people."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail
        """What the decoder said, for staff."""


@dataclass(frozen=True, kw_only=True)
class Inspected:
    kind: str
    content_type: str
    extension: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    """As the file itself says, where its format does."""


# What we store, by extension. A picture may have more behind its end than a picture (a page, an archive): it is kept
# as it came, since it is only ever served by our type, with "nosniff" and a sandbox, and hashes stay fal's own.
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
_EXTENSION_OF = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif"}


def inspect(file: IO[bytes], size_bytes: int) -> Inspected:
    """What the file is, checked for completeness as far as its format tells. Raises NotMedia."""
    head = _read_at(file, 0, 32)
    for recognise, check in _FORMATS:
        if recognise(head):
            return check(file, head, size_bytes)
    raise NotMedia("not a picture, video, sound or 3D file that we know")


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins so holds weights as safetensors: the length of a JSON object, and the object."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= SAFETENSORS_HEADER_BYTES_MAX


def is_known(found: Inspected) -> bool:
    """Whether `inspect` can have found this: a type of ours, and a size that a picture has."""
    sides = (found.width, found.height)
    sized = sides == (None, None) or all(type(side) is int and 0 < side <= PIXELS_MAX for side in sides)
    timed = found.duration_seconds is None or type(found.duration_seconds) is float
    return sized and timed and TYPES.get(found.extension) == (found.kind, found.content_type)


def _found(
    extension: str, *, width: int | None = None, height: int | None = None, seconds: float | None = None
) -> Inspected:
    kind, content_type = TYPES[extension]
    # What a file says of itself is shown to people and compared with the order; nonsense is none.
    duration = float(seconds) if seconds is not None and 0 < seconds <= SECONDS_MAX else None
    return Inspected(
        kind=kind, content_type=content_type, extension=extension, width=width, height=height, duration_seconds=duration
    )


def _image(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    file.seek(0)
    try:
        with Image.open(file, formats=list(_EXTENSION_OF)) as image:
            # Pillow itself refuses at twice its limit only, and warns before.
            if image.width * image.height > PIXELS_MAX:
                raise NotMedia(f"a picture of more than {PIXELS_MAX} pixels")
            # Decoding is the proof: a picture that was cut short has a perfect head.
            image.load()
            return _found(_EXTENSION_OF[str(image.format)], width=image.width, height=image.height)
    except NotMedia:
        raise
    except Exception as error:
        # Decoders meet broken bytes with whatever comes to hand: struct.error, SyntaxError, IndexError, MemoryError.
        raise NotMedia("a broken picture", detail=f"{error}"[:200]) from error


def _mp4(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    # Without "moov" nobody can play it: cut between two boxes, or a picture (AVIF, HEIC) in the same wrapping.
    boxes = _boxes(file, size_bytes)
    if b"moov" not in boxes:
        raise NotMedia("an MP4 without a film")
    seconds = _seconds_in_moov(_read_at(file, boxes[b"moov"], 160))
    if head[8:11] == b"M4A":
        return _found("m4a", seconds=seconds)
    if head[8:10] == b"qt":
        return _found("mov", seconds=seconds)
    return _found("mp4", seconds=seconds)


def _seconds_in_moov(moov: bytes) -> float | None:
    """The length that the film's header (mvhd) says; it is the first box in there."""
    at = moov.find(b"mvhd")
    if at < 0 or len(moov) < at + 36:
        return None
    # After version and flags come two times, the units of a second and the length; in version 1 with wider numbers.
    layout, start = (">IQ", at + 24) if moov[at + 4] == 1 else (">II", at + 16)
    units, length = struct.unpack_from(layout, moov, start)
    return float(length / units) if units else None


def _boxes(file: IO[bytes], size_bytes: int) -> dict[bytes, int]:
    """The names of the outer boxes and where each begins; the last must end where the file ends."""
    names: dict[bytes, int] = {}
    position = 0
    for _ in range(BOXES_MAX):
        if position >= size_bytes:
            break
        box = _read_at(file, position, 16)
        length = _box_length(box, size_bytes - position)
        if length is None:
            raise NotMedia("a broken MP4 box")
        names.setdefault(box[4:8], position)
        position += length
    if position != size_bytes:
        raise NotMedia("an MP4 that was cut short, or of more boxes than any film has")
    return names


def _box_length(box: bytes, left: int) -> int | None:
    if len(box) < 8:
        return None
    length, head = int.from_bytes(box[:4], "big"), 8
    if length == 1 and len(box) == 16:
        length, head = int.from_bytes(box[8:], "big"), 16
    elif length == 0:
        length = left  # "to the end of the file"
    return length if length >= head else None


def _webm(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    doctype = _read_at(file, 0, 128)
    if b"webm" not in doctype and b"matroska" not in doctype:
        raise NotMedia("an EBML file that is no video")
    header_length, at = _ebml_size(doctype, 4)
    segment_at = at + header_length
    segment = _read_at(file, segment_at, 12)
    if segment[:4] != b"\x18\x53\x80\x67":
        raise NotMedia("a WebM without a segment")
    length, body_at = _ebml_size(segment, 4)
    # All bits set mean "unknown, to the end".
    unknown = length == (1 << (7 * (body_at - 4))) - 1
    if not unknown and segment_at + body_at + length > size_bytes:
        raise NotMedia("a WebM that was cut short")
    return _found("webm", seconds=_seconds_in_segment(_read_at(file, segment_at + body_at, SYNC_BYTES_MAX)))


def _seconds_in_segment(body: bytes) -> float | None:
    """The length in the segment's Info: an eight-byte float of units, of which each has so many nanoseconds."""
    info = body.find(b"\x15\x49\xa9\x66")
    at = body.find(b"\x44\x89", info)
    if min(info, at) < 0 or len(body) < at + 20:
        return None
    try:
        size, length_at = _ebml_size(body[at : at + 12], 2)
    except NotMedia:
        return None
    if size != 8:
        return None
    scale_at = body.find(b"\x2a\xd7\xb1\x83", info)
    nanoseconds = int.from_bytes(body[scale_at + 4 : scale_at + 7], "big") if scale_at >= 0 else 1_000_000
    (length,) = struct.unpack_from(">d", body, at + length_at)
    return float(length * nanoseconds / 1e9)


def _ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends: its first byte's leading zeros say how many bytes follow."""
    if len(data) <= at or data[at] == 0:
        raise NotMedia("a broken EBML size")
    width = 9 - data[at].bit_length()
    raw = int.from_bytes(data[at : at + width], "big")
    return raw & ((1 << (7 * width)) - 1), at + width


def _glb(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    if len(head) < 20 or int.from_bytes(head[8:12], "little") != size_bytes:
        raise NotMedia("a GLB that was cut short")
    return _found("glb")


def _fbx(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    return _found("fbx")


def _usdz(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    """A ZIP archive whose first file is a scene, not packed: by that it differs from any other archive."""
    name = _read_at(file, 30, int.from_bytes(head[26:28], "little"))
    if head[8:10] != b"\0\0" or not name.endswith((b".usdc", b".usda", b".usd")):
        raise NotMedia("an archive that is no USDZ")
    # The table of contents stands at the end, behind it a comment at most.
    if b"PK\x05\x06" not in _read_at(file, max(0, size_bytes - 2**16), 2**16):
        raise NotMedia("a USDZ that was cut short")
    return _found("usdz")


_VERTEX = re.compile(rb"^v( +-?[0-9.eE+-]+){3}", re.MULTILINE)
_MATERIAL = re.compile(rb"^newmtl +\S", re.MULTILINE)


def _wavefront(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    """Lines of text: a mesh has vertices, a library of materials names them. Neither says where it ends."""
    text = _read_at(file, 0, 2**16)
    if b"\0" not in text and _VERTEX.search(text):
        return _found("obj")
    if b"\0" not in text and _MATERIAL.search(text):
        return _found("mtl")
    raise NotMedia("a text that is neither a mesh nor its materials")


def _wav(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    length = int.from_bytes(head[4:8], "little")
    # All bits set mean "unknown": who wrote it could not go back to the head.
    if length != 0xFFFFFFFF and length + 8 > size_bytes:
        raise NotMedia("a WAV that was cut short")
    return _found("wav", seconds=_seconds_of_wave(file, size_bytes))


def _seconds_of_wave(file: IO[bytes], size_bytes: int) -> float | None:
    """The bytes of its sound, by the bytes of a second."""
    position, bytes_a_second = 12, 0
    for _ in range(CHUNKS_MAX):
        chunk = _read_at(file, position, 20)
        if len(chunk) < 8:
            break
        length = int.from_bytes(chunk[4:8], "little")
        if chunk[:4] == b"fmt ":
            bytes_a_second = int.from_bytes(chunk[16:20], "little")
        elif chunk[:4] == b"data" and bytes_a_second:
            return min(length, size_bytes - position - 8) / bytes_a_second
        position += 8 + length + length % 2
    return None


# MPEG audio: kbit/s by the index in a frame's header, for Layer III of MPEG-1 and of the later versions.
_KILOBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def _mp3(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    start = 0
    if head[:3] == b"ID3":
        # Seven bits in each of four bytes: how long the tag is, without its own head.
        start = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
    sound = _read_at(file, start, SYNC_BYTES_MAX)
    at = next((i for i in range(len(sound) - 3) if sound[i] == 0xFF and sound[i + 1] & 0xE6 == 0xE2), None)
    if at is None:
        raise NotMedia("an MP3 without sound")
    return _found("mp3", seconds=_seconds_of_frames(sound[at : at + 4], size_bytes - start - at))


def _seconds_of_frames(header: bytes, bytes_of_sound: int) -> float | None:
    """As if every frame had the rate of the first: true of what speech and music models write."""
    index, is_first_version = header[2] >> 4, header[1] & 0x18 == 0x18
    rates = _KILOBITS_1 if is_first_version else _KILOBITS_2
    return bytes_of_sound / (rates[index] * 125) if 0 < index < len(rates) else None


def _ogg(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    return _found("ogg")


def _flac(file: IO[bytes], head: bytes, size_bytes: int) -> Inspected:
    return _found("flac")


def _starts(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _is_riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == form


_FORMATS: list[tuple[Callable[[bytes], bool], Callable[[IO[bytes], bytes, int], Inspected]]] = [
    (_starts(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"), _image),
    (_is_riff(b"WEBP"), _image),
    (_is_riff(b"WAVE"), _wav),
    (lambda head: head[4:8] == b"ftyp", _mp4),
    (_starts(b"\x1a\x45\xdf\xa3"), _webm),
    (_starts(b"glTF\x02\x00\x00\x00"), _glb),
    (_starts(b"Kaydara FBX Binary  \x00"), _fbx),
    (_starts(b"PK\x03\x04"), _usdz),
    (_starts(b"#", b"mtllib ", b"newmtl ", b"o ", b"g ", b"v "), _wavefront),
    (_starts(b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"), _mp3),
    (_starts(b"OggS"), _ogg),
    (_starts(b"fLaC"), _flac),
]


def _read_at(file: IO[bytes], position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)
