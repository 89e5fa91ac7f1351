"""Videos: VP8 key frames, as Pillow's lossy WebP makes them, in a small WebM file.

A lossy WebP picture is a single VP8 key frame in a RIFF wrapper. Taking the frame out and putting
it between EBML headers gives a video that browsers play, without any video encoder.
Elements: https://www.matroska.org/technical/elements.html
"""

from __future__ import annotations

import math
import struct

from PIL import Image, ImageDraw

from simulator.media import images

FRAMES_PER_SECOND = 4
FRAMES_MAX = 60
LONG_SIDE, SHORT_SIDE = 320, 180

# A block's time is a signed 16-bit number of milliseconds after its cluster's.
CLUSTER_MILLISECONDS = 4_000

EBML, EBML_VERSION, EBML_READ_VERSION = 0x1A45DFA3, 0x4286, 0x42F7
EBML_MAX_ID_LENGTH, EBML_MAX_SIZE_LENGTH = 0x42F2, 0x42F3
DOC_TYPE, DOC_TYPE_VERSION, DOC_TYPE_READ_VERSION = 0x4282, 0x4287, 0x4285
SEGMENT, INFO, TIMESTAMP_SCALE, DURATION, MUXING_APP, WRITING_APP = (
    0x18538067,
    0x1549A966,
    0x2AD7B1,
    0x4489,
    0x4D80,
    0x5741,
)
TRACKS, TRACK_ENTRY, TRACK_NUMBER, TRACK_UID, TRACK_TYPE, CODEC_ID = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83, 0x86
DEFAULT_DURATION, FLAG_LACING, VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT = 0x23E383, 0x9C, 0xE0, 0xB0, 0xBA
CLUSTER, TIMESTAMP, SIMPLE_BLOCK = 0x1F43B675, 0xE7, 0xA3
CUES, CUE_POINT, CUE_TIME, CUE_TRACK_POSITIONS, CUE_TRACK, CUE_CLUSTER_POSITION = (
    0x1C53BB6B,
    0xBB,
    0xB3,
    0xB7,
    0xF7,
    0xF1,
)

KEY_FRAME = 0x80


def draw(text: str, caption: str, *, seed: int, seconds: float, tall: bool = False) -> bytes:
    """The words on a background, and a ball that travels from one side to the other."""
    size = (SHORT_SIDE, LONG_SIDE) if tall else (LONG_SIDE, SHORT_SIDE)
    scene = images.draw(text, caption, seed=seed, size=size)
    count = max(2, min(FRAMES_MAX, round(seconds * FRAMES_PER_SECOND)))
    frames = [_frame(scene, part=number / (count - 1)) for number in range(count)]
    return mux(frames, size=size, milliseconds=round(seconds * 1000 / count))


def mux(frames: list[bytes], *, size: tuple[int, int], milliseconds: int) -> bytes:
    """A WebM file of VP8 key frames, each shown for so many milliseconds."""
    info = _element(INFO, _info(len(frames) * milliseconds))
    tracks = _element(TRACKS, _element(TRACK_ENTRY, _track(size, milliseconds)))
    clusters, cues = _clusters(frames, milliseconds, offset=len(info) + len(tracks))
    return _element(EBML, _header()) + _element(SEGMENT, info + tracks + clusters + _element(CUES, cues))


def vp8_frame(webp: bytes) -> bytes:
    """The VP8 key frame in a simple lossy WebP file."""
    if webp[:4] != b"RIFF" or webp[8:16] != b"WEBPVP8 ":
        raise ValueError("This is not a simple lossy WebP file.")
    (length,) = struct.unpack("<I", webp[16:20])
    return webp[20 : 20 + length]


def _frame(scene: Image.Image, *, part: float) -> bytes:
    picture = scene.copy()
    width, height = picture.size
    radius = height // 14
    x = radius + part * (width - 2 * radius)
    y = height / 5 - math.sin(part * math.pi) * height / 10
    pen = ImageDraw.Draw(picture)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")
    return vp8_frame(images.encode(picture, "image/webp"))


def _header() -> bytes:
    return b"".join(
        [
            _whole(EBML_VERSION, 1),
            _whole(EBML_READ_VERSION, 1),
            _whole(EBML_MAX_ID_LENGTH, 4),
            _whole(EBML_MAX_SIZE_LENGTH, 8),
            _element(DOC_TYPE, b"webm"),
            _whole(DOC_TYPE_VERSION, 2),
            _whole(DOC_TYPE_READ_VERSION, 2),
        ]
    )


def _info(milliseconds: int) -> bytes:
    return b"".join(
        [
            _whole(TIMESTAMP_SCALE, 1_000_000),
            _element(DURATION, struct.pack(">d", milliseconds)),
            _element(MUXING_APP, b"limn simulator"),
            _element(WRITING_APP, b"limn simulator"),
        ]
    )


def _track(size: tuple[int, int], milliseconds: int) -> bytes:
    return b"".join(
        [
            _whole(TRACK_NUMBER, 1),
            _whole(TRACK_UID, 1),
            _whole(TRACK_TYPE, 1),
            _whole(FLAG_LACING, 0),
            _element(CODEC_ID, b"V_VP8"),
            _whole(DEFAULT_DURATION, milliseconds * 1_000_000),
            _element(VIDEO, _whole(PIXEL_WIDTH, size[0]) + _whole(PIXEL_HEIGHT, size[1])),
        ]
    )


def _clusters(frames: list[bytes], milliseconds: int, *, offset: int) -> tuple[bytes, bytes]:
    """The clusters, and the cues that tell a player where in the segment each one begins."""
    per_cluster = max(1, CLUSTER_MILLISECONDS // milliseconds)
    clusters, cues = b"", b""
    for first in range(0, len(frames), per_cluster):
        time = first * milliseconds
        cues += _cue(time, position=offset + len(clusters))
        clusters += _cluster(frames[first : first + per_cluster], milliseconds, time=time)
    return clusters, cues


def _cluster(frames: list[bytes], milliseconds: int, *, time: int) -> bytes:
    blocks = [
        _element(SIMPLE_BLOCK, b"\x81" + struct.pack(">hB", number * milliseconds, KEY_FRAME) + frame)
        for number, frame in enumerate(frames)
    ]
    return _element(CLUSTER, _whole(TIMESTAMP, time) + b"".join(blocks))


def _cue(time: int, *, position: int) -> bytes:
    where = _whole(CUE_TRACK, 1) + _whole(CUE_CLUSTER_POSITION, position)
    return _element(CUE_POINT, _whole(CUE_TIME, time) + _element(CUE_TRACK_POSITIONS, where))


def _whole(identifier: int, value: int) -> bytes:
    return _element(identifier, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _element(identifier: int, content: bytes) -> bytes:
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    # Sizes are always written in eight bytes: longer than needed, and legal.
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content
