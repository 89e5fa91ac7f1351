"""Inspects WAV and MP3 files. (M4A files are MP4 files; Ogg and FLAC files are recognised by their header only.)"""

from __future__ import annotations

from generations.files.formats.byte_reader import ByteReader
from generations.files.media_types import MediaInfo, NotMedia

# How many chunks of a WAV file may precede its samples, and how many bytes of an MP3 file its first frame.
CHUNKS_MAX = 64
# Programs that cannot seek back to the header of a WAV file leave a placeholder in it: 0, 2,000,000,036, 0x7FFFFFFF or
# 0xFFFFFFFF (docs/fal.md, section 7.5). No output is as long as the smallest of the large ones.
PLACEHOLDER_MIN = 2_000_000_000
SYNC_BYTES_MAX = 4096
# The bit rates of MPEG audio, Layer III, in kbit/s, by their index in a frame's header: of MPEG-1, and of later ones.
_KILOBITS_MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_LATER = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def inspect_wav(reader: ByteReader) -> MediaInfo:
    """Check that a WAV file is complete, and compute its duration. Raises NotMedia."""
    length = int.from_bytes(reader.head[4:8], "little")
    if length < PLACEHOLDER_MIN and length + 8 > reader.size_bytes:
        raise NotMedia("an incomplete WAV file")
    # Some programs add a byte to a file of odd length, as for the chunks inside.
    proves_end = reader.size_bytes - 8 in (length, length + length % 2)
    position, bytes_per_second, seconds = 12, 0, None
    for _ in range(CHUNKS_MAX):
        chunk = reader.read(position, 20)
        if len(chunk) < 8:
            break
        length = int.from_bytes(chunk[4:8], "little")
        if chunk[:4] == b"fmt ":
            bytes_per_second = int.from_bytes(chunk[16:20], "little")
        elif chunk[:4] == b"data" and bytes_per_second:
            seconds = min(length, reader.size_bytes - position - 8) / bytes_per_second
            break
        # Chunks are padded to an even length.
        position += 8 + length + length % 2
    return MediaInfo.of_type("wav", proves_end=proves_end, seconds=seconds)


def inspect_mp3(reader: ByteReader) -> MediaInfo:
    """Find the first frame of an MP3 file, and estimate the duration from its bit rate. Raises NotMedia."""
    start = 0
    if reader.head[:3] == b"ID3":
        # The length of the tag, without its header of ten bytes: seven bits in each of four bytes.
        start = 10 + sum(byte << shift for byte, shift in zip(reader.head[6:10], (21, 14, 7, 0), strict=False))
    beginning = reader.read(start, SYNC_BYTES_MAX)
    # A frame begins with eleven set bits, and the layer must be III.
    at = next(
        (i for i in range(len(beginning) - 3) if beginning[i] == 0xFF and beginning[i + 1] & 0xE6 == 0xE2),
        None,
    )
    if at is None:
        raise NotMedia("an MP3 file without audio")
    rate_index = beginning[at + 2] >> 4
    rates = _KILOBITS_MPEG_1 if beginning[at + 1] & 0x18 == 0x18 else _KILOBITS_LATER
    seconds = None
    if 0 < rate_index < len(rates):
        # As if every frame had the bit rate of the first, which is true of what speech and music models write.
        seconds = (reader.size_bytes - start - at) / (rates[rate_index] * 125)
    # The frames follow each other until the file ends; nothing tells how many there are.
    return MediaInfo.of_type("mp3", proves_end=False, seconds=seconds)
