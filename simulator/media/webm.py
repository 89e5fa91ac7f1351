"""Draws videos as WebM files of VP8 key frames, written without a video encoder.

A lossy WebP image, which Pillow can write, is one VP8 key frame in a RIFF container. The frames are taken out and put
between EBML elements; browsers play the result. Elements: https://www.matroska.org/technical/elements.html
"""

from __future__ import annotations

import math
import struct

from PIL import ImageDraw

from simulator.media import images

FRAMES_PER_SECOND = 4
FRAMES_MAX = 60
LONG_SIDE, SHORT_SIDE = 320, 180

# The time of a block is a signed 16-bit number of milliseconds after its cluster's.
CLUSTER_MILLISECONDS = 4_000

EBML, EBML_VERSION, EBML_READ_VERSION = 0x1A45DFA3, 0x4286, 0x42F7
EBML_MAX_ID_LENGTH, EBML_MAX_SIZE_LENGTH = 0x42F2, 0x42F3
DOC_TYPE, DOC_TYPE_VERSION, DOC_TYPE_READ_VERSION = 0x4282, 0x4287, 0x4285
SEGMENT, INFO, TIMESTAMP_SCALE, DURATION = 0x18538067, 0x1549A966, 0x2AD7B1, 0x4489
MUXING_APP, WRITING_APP = 0x4D80, 0x5741
TRACKS, TRACK_ENTRY, TRACK_NUMBER, TRACK_UID, TRACK_TYPE, CODEC_ID = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83, 0x86
DEFAULT_DURATION, FLAG_LACING, VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT = 0x23E383, 0x9C, 0xE0, 0xB0, 0xBA
CLUSTER, TIMESTAMP, SIMPLE_BLOCK = 0x1F43B675, 0xE7, 0xA3
CUES, CUE_POINT, CUE_TIME, CUE_TRACK_POSITIONS = 0x1C53BB6B, 0xBB, 0xB3, 0xB7
CUE_TRACK, CUE_CLUSTER_POSITION = 0xF7, 0xF1

KEY_FRAME = 0x80
FIRST_TRACK = b"\x81"


def draw(text: str, caption: str, *, seed: int, seconds: float, is_portrait: bool = False) -> bytes:
    """Return a WebM file: the text on a background, and a ball that moves from one side to the other."""
    width, height = (SHORT_SIDE, LONG_SIDE) if is_portrait else (LONG_SIDE, SHORT_SIDE)
    scene = images.draw(text, caption, seed=seed, size=(width, height))
    count = max(2, min(FRAMES_MAX, round(seconds * FRAMES_PER_SECOND)))
    radius = height // 14
    frames = []
    for number in range(count):
        part = number / (count - 1)
        x = radius + part * (width - 2 * radius)
        y = height / 5 - math.sin(part * math.pi) * height / 10
        image = scene.copy()
        ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")
        frames.append(vp8_frame(images.encode(image, "image/webp")))
    return mux(frames, size=(width, height), milliseconds=round(seconds * 1000 / count))


def mux(frames: list[bytes], *, size: tuple[int, int], milliseconds: int) -> bytes:
    """Return a WebM file of VP8 key frames, each of which is shown for this time."""
    header = _element(
        EBML,
        _element(EBML_VERSION, 1),
        _element(EBML_READ_VERSION, 1),
        _element(EBML_MAX_ID_LENGTH, 4),
        _element(EBML_MAX_SIZE_LENGTH, 8),
        _element(DOC_TYPE, b"webm"),
        _element(DOC_TYPE_VERSION, 2),
        _element(DOC_TYPE_READ_VERSION, 2),
    )
    info = _element(
        INFO,
        _element(TIMESTAMP_SCALE, 1_000_000),
        _element(DURATION, struct.pack(">d", len(frames) * milliseconds)),
        _element(MUXING_APP, b"limn simulator"),
        _element(WRITING_APP, b"limn simulator"),
    )
    track = _element(
        TRACK_ENTRY,
        _element(TRACK_NUMBER, 1),
        _element(TRACK_UID, 1),
        _element(TRACK_TYPE, 1),
        _element(FLAG_LACING, 0),
        _element(CODEC_ID, b"V_VP8"),
        _element(DEFAULT_DURATION, milliseconds * 1_000_000),
        _element(VIDEO, _element(PIXEL_WIDTH, size[0]), _element(PIXEL_HEIGHT, size[1])),
    )
    tracks = _element(TRACKS, track)
    clusters, cues = _clusters(frames, milliseconds, offset=len(info) + len(tracks))
    return header + _element(SEGMENT, info, tracks, clusters, _element(CUES, cues))


def vp8_frame(webp: bytes) -> bytes:
    """Return the VP8 key frame of a simple lossy WebP file. Raises ValueError for any other file."""
    if webp[:4] != b"RIFF" or webp[8:16] != b"WEBPVP8 ":
        raise ValueError("This is not a simple lossy WebP file.")
    (length,) = struct.unpack("<I", webp[16:20])
    return webp[20 : 20 + length]


def _clusters(frames: list[bytes], milliseconds: int, *, offset: int) -> tuple[bytes, bytes]:
    """Return the clusters of frames, and the cues, which tell a player where each cluster begins.

    Args:
        offset: Position of the first cluster in the content of the segment.
    """
    per_cluster = max(1, CLUSTER_MILLISECONDS // milliseconds)
    clusters, cues = b"", b""
    for first in range(0, len(frames), per_cluster):
        time = first * milliseconds
        position = offset + len(clusters)
        track_positions = _element(
            CUE_TRACK_POSITIONS, _element(CUE_TRACK, 1), _element(CUE_CLUSTER_POSITION, position)
        )
        cues += _element(CUE_POINT, _element(CUE_TIME, time), track_positions)
        blocks = [
            _element(SIMPLE_BLOCK, FIRST_TRACK, struct.pack(">hB", number * milliseconds, KEY_FRAME), frame)
            for number, frame in enumerate(frames[first : first + per_cluster])
        ]
        clusters += _element(CLUSTER, _element(TIMESTAMP, time), *blocks)
    return clusters, cues


def _element(identifier: int, *contents: bytes | int) -> bytes:
    """Return an EBML element. Numbers are stored as unsigned integers of the fewest bytes."""
    content = b"".join(
        part if isinstance(part, bytes) else part.to_bytes(max(1, (part.bit_length() + 7) // 8), "big")
        for part in contents
    )
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    # Sizes are always written in eight bytes: longer than needed, but valid, and every offset is easy to compute.
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content
