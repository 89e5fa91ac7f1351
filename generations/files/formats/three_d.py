"""Inspects 3D files: GLB, USDZ, and the text formats of Wavefront. (FBX is recognised by its header only.)"""

from __future__ import annotations

import re

from generations.files.formats.byte_reader import ByteReader
from generations.files.media_types import MediaInfo, NotMedia

TEXT_BYTES_MAX = 2**16
_VERTEX = re.compile(rb"^v( +-?[0-9.eE+-]+){3}", re.MULTILINE)
_MATERIAL = re.compile(rb"^newmtl +\S", re.MULTILINE)


def inspect_glb(reader: ByteReader) -> MediaInfo:
    """Check that a GLB file has the length that its header states. Raises NotMedia."""
    if len(reader.head) < 20 or int.from_bytes(reader.head[8:12], "little") != reader.size_bytes:
        raise NotMedia("an incomplete GLB file")
    return MediaInfo.of_type("glb", proves_end=True)


def inspect_usdz(reader: ByteReader) -> MediaInfo:
    """Check that a ZIP archive is a complete USDZ file. Raises NotMedia."""
    # Other archives differ in their first file: that of a USDZ file is a scene, and is not compressed.
    name = reader.read(30, int.from_bytes(reader.head[26:28], "little"))
    if reader.head[8:10] != b"\0\0" or not name.endswith((b".usdc", b".usda", b".usd")):
        raise NotMedia("an archive other than USDZ")
    # An archive ends with its directory, which only a comment of at most 64 KiB may follow.
    if b"PK\x05\x06" not in reader.read(max(0, reader.size_bytes - 2**16), 2**16):
        raise NotMedia("an incomplete USDZ file")
    # The last record follows the directory, whose place and length it states. No comment follows it.
    record = reader.read(max(0, reader.size_bytes - 22), 22)
    length, start = int.from_bytes(record[12:16], "little"), int.from_bytes(record[16:20], "little")
    ends_here = record[:4] == b"PK\x05\x06" and record[20:] == b"\0\0"
    proves_end = ends_here and start + length + 22 == reader.size_bytes
    return MediaInfo.of_type("usdz", proves_end=proves_end)


def inspect_wavefront(reader: ByteReader) -> MediaInfo:
    """Tell a mesh (OBJ) and a library of materials (MTL) from other text. Neither format marks its end."""
    text = reader.read(0, TEXT_BYTES_MAX)
    if b"\0" not in text and _VERTEX.search(text):
        return MediaInfo.of_type("obj", proves_end=False)
    if b"\0" not in text and _MATERIAL.search(text):
        return MediaInfo.of_type("mtl", proves_end=False)
    raise NotMedia("a text other than a mesh or its materials")
