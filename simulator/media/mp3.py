"""Sound in MP3: a note, as one spectral line in every frame, written without any encoder.

A frame of MPEG-1 Layer III at 32 kbit/s and 48 kHz, mono, has 96 bytes and 24 ms: a header, 17 bytes that say where
the bits are, and for each of its two granules a Huffman code in which one line of 576 is 1 and all others are 0.
ISO/IEC 11172-3, 2.4.1 and table B.7 (Huffman table 1).
"""

from __future__ import annotations

import random

FRAME_BYTES = 96
FRAME_SECONDS = 0.024
SECONDS_MAX = 60.0
# Sync, MPEG-1 Layer III without CRC; 32 kbit/s, 48 kHz; mono, original.
HEADER = bytes([0xFF, 0xFB, 0x14, 0xC4])
# Lines are 24000 / 576 = 41.7 Hz apart: from about 420 Hz to 830 Hz.
LINES = (10, 12, 13, 15, 18, 20)
# A line of 1 stands for 2^((202 - 210) / 4) of full scale; Chromium hears a peak of 0.25.
GLOBAL_GAIN = 202
# The codes of Huffman table 1 for a pair of lines: (0, 0), (0, 1), (1, 0). A sign follows each 1.
NOTHING, SECOND, FIRST = "1", "001", "01"


def draw(*, caption: str, seed: int, seconds: float) -> bytes:
    line = random.Random(seed).choice(LINES)
    count = max(1, round(min(seconds, SECONDS_MAX) / FRAME_SECONDS))
    return tag(caption) + frame(line) * count


def frame(line: int) -> bytes:
    """One frame in which this spectral line sounds."""
    # The second granule has the other sign: the line goes on where the transform would turn it round.
    granules = [_spectrum(line, negative=negative) for negative in (False, True)]
    # No bits from earlier frames, nothing shared between granules.
    side = "0" * 18 + "".join(_side_of(bits, line) for bits in granules)
    return _bytes(HEADER, side + "".join(granules))


def _spectrum(line: int, *, negative: bool) -> str:
    pair, second = divmod(line, 2)
    return NOTHING * pair + (SECOND if second else FIRST) + ("1" if negative else "0")


def _side_of(bits: str, line: int) -> str:
    fields = [
        (len(bits), 12),
        (line // 2 + 1, 9),  # so many pairs of lines; what follows them is silent
        (GLOBAL_GAIN, 8),
        (0, 4),  # no scale factors
        (0, 1),  # a long block
        (1, 5),
        (1, 5),
        (1, 5),  # Huffman table 1 for all three regions
        (7, 4),
        (7, 3),  # where the regions end: beyond our lines
        (0, 3),  # no pre-emphasis, fine scale, no lines of -1 to 1 in fours
    ]
    return "".join(f"{value:0{width}b}" for value, width in fields)


def _bytes(header: bytes, bits: str) -> bytes:
    body = int(bits.ljust((FRAME_BYTES - len(header)) * 8, "0"), 2)
    return header + body.to_bytes(FRAME_BYTES - len(header), "big")


def tag(caption: str) -> bytes:
    """An ID3v2.3 tag with a title, so that no two requests share their bytes."""
    title = b"\x01" + caption.encode("utf-16")
    content = b"TIT2" + len(title).to_bytes(4, "big") + b"\0\0" + title
    size = len(content)
    # Seven bits in each of four bytes.
    return b"ID3\x03\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + content
