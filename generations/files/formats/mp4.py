"""Inspects MP4, QuickTime and M4A files: boxes, each with a length and a name of four letters (ISO 14496-12)."""

from __future__ import annotations

import struct

from generations.files.formats.byte_reader import ByteReader
from generations.files.media_types import MediaInfo, NotMedia

# A long video in fragments of a second has about ten thousand boxes. A file of empty boxes only has millions.
BOXES_MAX = 100_000
# The header of a long video has a few megabytes.
MOVIE_BYTES_MAX = 32 * 1024**2


def inspect_mp4(reader: ByteReader) -> MediaInfo:
    """Check that the boxes end where the file ends, and read the duration. Raises NotMedia."""
    boxes, has_open_box = _find_boxes(reader)
    if b"moov" not in boxes:
        # Without this box no player can play the file: it was cut between two boxes, or is an image (AVIF, HEIC).
        raise NotMedia("an MP4 file without a movie header")
    place = boxes[b"moov"][0]
    movie = reader.read(place.start, min(len(place), MOVIE_BYTES_MAX))
    seconds = None
    # The movie header (mvhd) is the first box inside. After its version and flags it has two times, the number of time
    # units per second, and the duration in these units. In version 1 the times and the duration have 64 bits.
    at = movie.find(b"mvhd")
    if 0 <= at < 160 and len(movie) >= at + 36:
        layout, start = (">IQ", at + 24) if movie[at + 4] == 1 else (">II", at + 16)
        units_per_second, duration = struct.unpack_from(layout, movie, start)
        seconds = float(duration / units_per_second) if units_per_second else None
    brand = reader.head[8:11]
    extension = "m4a" if brand == b"M4A" else "mov" if brand[:2] == b"qt" else "mp4"
    # A film in one piece has one box of media. One in fragments (its header has a box "mvex") may be cut behind any of
    # them, and is complete if its index (mfra) follows the last one.
    is_fragmented = b"moof" in boxes or b"mvex" in movie or len(movie) < len(place)
    is_in_one_piece = not is_fragmented and len(boxes.get(b"mdat", ())) == 1
    proves_end = not has_open_box and (is_in_one_piece or b"mfra" in boxes)
    return MediaInfo.of_type(extension, proves_end=proves_end, seconds=seconds)


def _find_boxes(reader: ByteReader) -> tuple[dict[bytes, list[range]], bool]:
    """Return the places of the outer boxes, by name, and whether one of them has no length.

    Raises NotMedia if the last does not end where the file ends.
    """
    places: dict[bytes, list[range]] = {}
    has_open_box = False
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
            length, has_open_box = reader.size_bytes - position, True  # "To the end of the file."
        if len(box) < 8 or length < header_length:
            raise NotMedia("a broken MP4 file")
        places.setdefault(box[4:8], []).append(range(position, position + length))
        position += length
    if position != reader.size_bytes:
        raise NotMedia("an incomplete MP4 file, or one of too many boxes")
    return places, has_open_box
