"""Inspects MP4, QuickTime and M4A files: boxes, each with a length and a name of four letters (ISO 14496-12)."""

from __future__ import annotations

import struct

from generations.files.formats.byte_reader import ByteReader
from generations.files.media_types import MediaInfo, NotMedia

# A long video in fragments of a second has about ten thousand boxes. A file of empty boxes only has millions.
BOXES_MAX = 100_000


def inspect_mp4(reader: ByteReader) -> MediaInfo:
    """Check that the boxes end where the file ends, and read the duration. Raises NotMedia."""
    boxes = _find_boxes(reader)
    if b"moov" not in boxes:
        # Without this box no player can play the file: it was cut between two boxes, or is an image (AVIF, HEIC).
        raise NotMedia("an MP4 file without a movie header")
    movie = reader.read(boxes[b"moov"], 160)
    seconds = None
    # The movie header (mvhd) is the first box inside. After its version and flags it has two times, the number of time
    # units per second, and the duration in these units. In version 1 the times and the duration have 64 bits.
    at = movie.find(b"mvhd")
    if at >= 0 and len(movie) >= at + 36:
        layout, start = (">IQ", at + 24) if movie[at + 4] == 1 else (">II", at + 16)
        units_per_second, duration = struct.unpack_from(layout, movie, start)
        seconds = float(duration / units_per_second) if units_per_second else None
    brand = reader.head[8:11]
    extension = "m4a" if brand == b"M4A" else "mov" if brand[:2] == b"qt" else "mp4"
    return MediaInfo.of_type(extension, seconds=seconds)


def _find_boxes(reader: ByteReader) -> dict[bytes, int]:
    """Return the positions of the outer boxes, by name.

    Raises NotMedia if the last does not end where the file ends.
    """
    positions: dict[bytes, int] = {}
    position = 0
    for _ in range(BOXES_MAX):
        if position >= reader.size_bytes:
            break
        box = reader.read(position, 16)
        length, header_length = int.from_bytes(box[:4], "big"), 8
        if length == 1 and len(box) == 16:
            # The length follows the name, in 64 bits.
            length, header_length = int.from_bytes(box[8:], "big"), 16
        elif length == 0:
            length = reader.size_bytes - position  # "To the end of the file."
        if len(box) < 8 or length < header_length:
            raise NotMedia("a broken MP4 file")
        positions.setdefault(box[4:8], position)
        position += length
    if position != reader.size_bytes:
        raise NotMedia("an incomplete MP4 file, or one of too many boxes")
    return positions
