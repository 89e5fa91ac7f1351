"""Draws sounds as MP3 files: one tone, as one spectral line in every frame, written without an encoder.

A frame of MPEG-1 Layer III at 32 kbit/s and 48 kHz, mono, has 96 bytes and lasts 24 ms: a header, 17 bytes of side
information that locate the data, and for each of its two granules a Huffman code in which one of 576 spectral lines is
1 and all others are 0. See ISO/IEC 11172-3, section 2.4.1 and table B.7 (Huffman table 1).
"""

from __future__ import annotations

import random

FRAME_BYTES = 96
FRAME_SECONDS = 0.024
SECONDS_MAX = 60.0
# Sync, MPEG-1 Layer III without CRC; 32 kbit/s, 48 kHz; mono, original.
HEADER = bytes([0xFF, 0xFB, 0x14, 0xC4])
# Lines are 24000 / 576 = 41.7 Hz apart: these are about 420 Hz to 830 Hz.
LINES = (10, 12, 13, 15, 18, 20)
# A line of 1 stands for 2^((202 - 210) / 4) of full scale; Chromium decodes it to a peak of 0.25.
GLOBAL_GAIN = 202
# The codes of Huffman table 1 for a pair of lines: (0, 0), (0, 1), (1, 0). A sign bit follows each 1.
PAIR_00, PAIR_01, PAIR_10 = "1", "001", "01"


def draw(*, caption: str, seed: int, seconds: float) -> bytes:
    """Return an MP3 file of this length, at most 60 s, with the caption as its title."""
    line = random.Random(seed).choice(LINES)
    count = max(1, round(min(seconds, SECONDS_MAX) / FRAME_SECONDS))
    return tag(caption) + frame(line) * count


def frame(line: int) -> bytes:
    """Return one frame in which only this spectral line sounds."""
    pair, is_second = divmod(line, 2)
    # Without bits from earlier frames, and nothing shared between the granules.
    side_information, spectra = "0" * 18, ""
    # The second granule has the opposite sign, so that the tone continues in phase from granule to granule.
    for sign in ("0", "1"):
        spectrum = PAIR_00 * pair + (PAIR_01 if is_second else PAIR_10) + sign
        fields = [
            (len(spectrum), 12),
            (pair + 1, 9),  # Number of pairs of lines; all lines after them are 0.
            (GLOBAL_GAIN, 8),
            (0, 4),  # No scale factors.
            (0, 1),  # A long block.
            (1, 5),
            (1, 5),
            (1, 5),  # Huffman table 1 for all three regions.
            (7, 4),
            (7, 3),  # Ends of the regions: after our lines.
            (0, 3),  # No pre-emphasis, fine scale, no lines of -1 to 1 in groups of four.
        ]
        side_information += "".join(f"{value:0{width}b}" for value, width in fields)
        spectra += spectrum
    body_bytes = FRAME_BYTES - len(HEADER)
    body = int((side_information + spectra).ljust(body_bytes * 8, "0"), 2)
    return HEADER + body.to_bytes(body_bytes, "big")


def tag(caption: str) -> bytes:
    """Return an ID3v2.3 tag with a title, which makes the bytes of each request unique."""
    title = b"\x01" + caption.encode("utf-16")
    content = b"TIT2" + len(title).to_bytes(4, "big") + b"\0\0" + title
    size = len(content)
    # The size has seven bits in each of four bytes.
    return b"ID3\x03\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + content
