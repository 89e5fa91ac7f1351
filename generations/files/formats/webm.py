"""Inspects WebM and Matroska files: EBML elements, each with an id, a length and a body (RFC 8794)."""

from __future__ import annotations

import struct

from generations.files.formats.byte_reader import ByteReader
from generations.files.media_types import MediaInfo, NotMedia

SEGMENT_ID = b"\x18\x53\x80\x67"
INFO_ID = b"\x15\x49\xa9\x66"
TIMESTAMP_SCALE_ID = b"\x2a\xd7\xb1\x83"
DURATION_ID = b"\x44\x89"
# How much of the segment is searched for its duration, which stands at its beginning.
INFO_BYTES_MAX = 4096


def inspect_webm(reader: ByteReader) -> MediaInfo:
    """Check the file's header and that its segment is complete, and read the duration. Raises NotMedia."""
    header = reader.read(0, 128)
    if b"webm" not in header and b"matroska" not in header:
        raise NotMedia("an EBML file other than a video")
    header_length, header_at = _read_size(header, 4)
    segment_at = header_at + header_length
    segment = reader.read(segment_at, 12)
    if segment[:4] != SEGMENT_ID:
        raise NotMedia("a WebM file without a segment")
    length, body_at = _read_size(segment, 4)
    # All bits set mean that the length is unknown: a stream ends where the file ends.
    is_unknown = length == (1 << (7 * (body_at - 4))) - 1
    end = segment_at + body_at + length
    if not is_unknown and end > reader.size_bytes:
        raise NotMedia("an incomplete WebM file")
    return MediaInfo.of_type(
        "webm",
        proves_end=end == reader.size_bytes,
        seconds=_find_duration(reader.read(segment_at + body_at, INFO_BYTES_MAX)),
    )


def _find_duration(segment: bytes) -> float | None:
    """Return the duration in seconds, from the beginning of a segment's body; None if it does not state one."""
    info_at = segment.find(INFO_ID)
    at = segment.find(DURATION_ID, info_at)
    if min(info_at, at) < 0 or len(segment) < at + 20:
        return None
    try:
        size, value_at = _read_size(segment[at : at + 12], 2)
    except NotMedia:
        return None
    if size != 8:
        return None
    # The duration is a 64-bit float of units. The scale says how many nanoseconds a unit has, by default a million.
    scale_at = segment.find(TIMESTAMP_SCALE_ID, info_at)
    nanoseconds = int.from_bytes(segment[scale_at + 4 : scale_at + 7], "big") if scale_at >= 0 else 1_000_000
    (duration,) = struct.unpack_from(">d", segment, at + value_at)
    return float(duration * nanoseconds / 1e9)


def _read_size(data: bytes, at: int) -> tuple[int, int]:
    """Read an EBML number: the leading zeros of its first byte say how many bytes follow.

    Returns:
        The number, and the position after it.
    """
    if len(data) <= at or data[at] == 0:
        raise NotMedia("a broken WebM file")
    width = 9 - data[at].bit_length()
    number = int.from_bytes(data[at : at + width], "big")
    return number & ((1 << (7 * width)) - 1), at + width
