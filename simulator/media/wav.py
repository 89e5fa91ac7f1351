"""Draws sounds as WAV files: a tone that fades out, its pitch chosen by the seed."""

from __future__ import annotations

import array
import io
import math
import random
import struct
import sys
import wave

# Enough for the tone and no more: tests draw, hash and read back three minutes of it.
SAMPLES_PER_SECOND = 4_000
SECONDS_MAX = 190.0
AMPLITUDE = 9_000
BASE_HERTZ = 220
# Semitones above the base.
PENTATONIC = (0, 2, 4, 7, 9)


def draw(*, caption: str, seed: int, seconds: float) -> bytes:
    """Return a WAV file of this length, at most 190 s, with the caption as its title."""
    hertz = BASE_HERTZ * 2 ** (random.Random(seed).choice(PENTATONIC) / 12)
    count = round(min(seconds, SECONDS_MAX) * SAMPLES_PER_SECOND)
    step = 2 * math.pi * hertz / SAMPLES_PER_SECOND
    samples = array.array("h", (round(AMPLITUDE * (1 - i / count) * math.sin(step * i)) for i in range(count)))
    # WAV is little-endian on every machine.
    if sys.byteorder == "big":
        samples.byteswap()
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLES_PER_SECOND)
        file.writeframes(samples.tobytes())
    # A LIST chunk with the title makes the bytes of each request unique. Chunks have an even length.
    title = caption.encode() + b"\0"
    title += b"\0" * (len(title) % 2)
    information = b"INFO" + b"INAM" + struct.pack("<I", len(title)) + title
    chunks = out.getvalue()[8:] + b"LIST" + struct.pack("<I", len(information)) + information
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks
