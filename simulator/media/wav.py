"""Sound: a tone that fades out, its pitch chosen by the seed."""

from __future__ import annotations

import array
import io
import math
import random
import struct
import sys
import wave

# As low as a note allows: three minutes of music are drawn in a test, and hashed, and read back.
SAMPLES_PER_SECOND = 4_000
SECONDS_MAX = 190.0
LOUDNESS = 9_000
PENTATONIC = (0, 2, 4, 7, 9)


def draw(*, caption: str, seed: int, seconds: float) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLES_PER_SECOND)
        file.writeframes(_tone(_pitch(seed), min(seconds, SECONDS_MAX)))
    return _with_title(out.getvalue(), caption)


def _with_title(sound: bytes, caption: str) -> bytes:
    """A title in the file's list of facts, so that no two requests share their bytes."""
    title = caption.encode() + b"\0"
    title += b"\0" * (len(title) % 2)
    facts = b"INFO" + b"INAM" + struct.pack("<I", len(title)) + title
    chunks = sound[8:] + b"LIST" + struct.pack("<I", len(facts)) + facts
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _pitch(seed: int) -> float:
    return 220 * 2 ** (random.Random(seed).choice(PENTATONIC) / 12)


def _tone(hertz: float, seconds: float) -> bytes:
    count = round(seconds * SAMPLES_PER_SECOND)
    step = 2 * math.pi * hertz / SAMPLES_PER_SECOND
    samples = array.array("h", (round(LOUDNESS * (1 - i / count) * math.sin(step * i)) for i in range(count)))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
