"""Identifies files by their bytes, and checks that they are complete.

The content type and the name that came with a file are never used. `sandbox` calls `inspect` in a confined process,
because decoders are the most likely part of Limn to have security bugs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from generations.files.formats.audio import inspect_mp3, inspect_wav
from generations.files.formats.byte_reader import ByteReader
from generations.files.formats.images import inspect_image
from generations.files.formats.mp4 import inspect_mp4
from generations.files.formats.three_d import inspect_glb, inspect_usdz, inspect_wavefront
from generations.files.formats.webm import inspect_webm
from generations.files.media_types import MediaInfo, NotMedia

# The limit of the safetensors format.
SAFETENSORS_HEADER_BYTES_MAX = 100_000_000


def inspect(file: IO[bytes], size_bytes: int) -> MediaInfo:
    """Identify a file, and check that it is complete as far as its format allows.

    `proves_end` of the result tells whether the format allows it for this file. A file that only seems complete needs
    another proof, such as the length that its server states.

    Raises:
        NotMedia: It is of no known type, broken or incomplete.
    """
    reader = ByteReader(file, size_bytes)
    for recognises, _, inspect_format in _FORMATS:
        if recognises(reader.head):
            return inspect_format(reader)
    raise NotMedia("not an image, video, audio or 3D file of a known type")


def expected_extension(head: bytes) -> str | None:
    """Return the extension that `inspect` will probably find for a file that begins so, or None if it will refuse it.

    This only compares bytes, so it is safe for files from outside. It proves nothing about the file.

    Args:
        head: The first HEAD_BYTES of the file.
    """
    return next((extension for recognises, extension, _ in _FORMATS if recognises(head)), None)


def is_safetensors(beginning: bytes) -> bool:
    """Return whether these first bytes are those of model weights: a length, and a JSON object of that length."""
    length = int.from_bytes(beginning[:8], "little")
    return beginning[8:9] == b"{" and 2 <= length <= SAFETENSORS_HEADER_BYTES_MAX


def _starts_with(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _is_riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == form


def _header_only(extension: str) -> Callable[[ByteReader], MediaInfo]:
    """Return an inspection for formats whose header tells neither a length nor a duration."""
    return lambda reader: MediaInfo.of_type(extension, proves_end=False)


_FORMATS: list[tuple[Callable[[bytes], bool], str, Callable[[ByteReader], MediaInfo]]] = [
    (_starts_with(b"\x89PNG\r\n\x1a\n"), "png", inspect_image),
    (_starts_with(b"\xff\xd8\xff"), "jpg", inspect_image),
    (_starts_with(b"GIF87a", b"GIF89a"), "gif", inspect_image),
    (_is_riff(b"WEBP"), "webp", inspect_image),
    (_is_riff(b"WAVE"), "wav", inspect_wav),
    (lambda head: head[4:8] == b"ftyp", "mp4", inspect_mp4),
    (_starts_with(b"\x1a\x45\xdf\xa3"), "webm", inspect_webm),
    (_starts_with(b"glTF\x02\x00\x00\x00"), "glb", inspect_glb),
    (_starts_with(b"Kaydara FBX Binary  \x00"), "fbx", _header_only("fbx")),
    (_starts_with(b"PK\x03\x04"), "usdz", inspect_usdz),
    (_starts_with(b"#", b"mtllib ", b"newmtl ", b"o ", b"g ", b"v "), "obj", inspect_wavefront),
    (_starts_with(b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"), "mp3", inspect_mp3),
    (_starts_with(b"OggS"), "ogg", _header_only("ogg")),
    (_starts_with(b"fLaC"), "flac", _header_only("flac")),
]
"""How a format is recognised by the first bytes, the extension of nearly all its files, and its inspection."""
