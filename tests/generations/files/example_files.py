"""Example files of every type that Limn stores: made by the simulator, by Pillow, or by hand."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from PIL import Image

from simulator.media import Drawing, draw


def drawn(media_type: str) -> bytes:
    """A file of the simulator."""
    return draw(
        Drawing(media_type=media_type, text="a fox", caption="flux", seed=5, width=320, height=200, seconds=1.0)
    )


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> bytes:
    """A gradient, in one of Pillow's formats and modes."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(file, kind)
    return file.getvalue()


def box(name: bytes, content: bytes = b"") -> bytes:
    """A box of an MP4 file."""
    return struct.pack(">I4s", 8 + len(content), name) + content


def film(brand: bytes = b"isom") -> bytes:
    """The outer boxes of an MP4 file, without a movie header inside."""
    return box(b"ftyp", brand + bytes(4)) + box(b"moov", bytes(40)) + box(b"mdat", bytes(400))


def film_with_duration(units_per_second: int, duration: int, *, version: int = 0) -> bytes:
    """An MP4 file with a movie header."""
    times = bytes(16 if version else 8)
    lengths = struct.pack(">IQ" if version else ">II", units_per_second, duration)
    header = struct.pack(">B3x", version) + times + lengths + bytes(80)
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", box(b"mvhd", header)) + box(b"mdat", bytes(40))


def film_with_long_boxes() -> bytes:
    """An MP4 file with a box whose length has 64 bits, and a box that extends to the end of the file."""
    long_box = struct.pack(">I4sQ", 1, b"moov", 16 + 40) + bytes(40)
    return box(b"ftyp", b"isom" + bytes(4)) + long_box + struct.pack(">I4s", 0, b"mdat") + bytes(400)


def streamed_wav() -> bytes:
    """A WAV file of a program that could not seek back to the header."""
    sound = drawn("audio/wav")
    return sound[:4] + b"\xff\xff\xff\xff" + sound[8:]


def streamed_webm() -> bytes:
    """A WebM file whose segment has an unknown length."""
    return bytes.fromhex("1a45dfa3 87 4282 84") + b"webm" + bytes.fromhex("18538067 01ffffffffffffff") + bytes(100)


def matroska() -> bytes:
    return bytes.fromhex("1a45dfa3 8b 4282 88") + b"matroska" + bytes.fromhex("18538067 84") + bytes(4)


def usdz(name: str = "scene.usdc", *, packed: bool = False) -> bytes:
    """An archive with one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr(name, b"PXR-USDC" + bytes(200))
    return file.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG file whose header claims this size, with next to no pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


FILES = {
    "png": drawn("image/png"),
    "jpg": drawn("image/jpeg"),
    "webp": drawn("image/webp"),
    "gif": picture("GIF"),
    "webm": drawn("video/webm"),
    "mp4": film(),
    "mov": film(b"qt  "),
    "m4a": film(b"M4A "),
    "glb": drawn("model/gltf-binary"),
    "fbx": drawn("application/octet-stream"),
    "usdz": usdz(),
    "obj": b"# a corner\nmtllib a.mtl\no corner\nv 0.0 1 -2.5e-3\nv 1 1 1\nv 0 0 1\nf 1 2 3\n",
    "mtl": b"# materials\nnewmtl skin\nKd 0.8 0.8 0.8\n",
    "wav": drawn("audio/wav"),
    "mp3": drawn("audio/mpeg"),
    "ogg": b"OggS" + bytes(100),
    "flac": b"fLaC" + bytes(100),
}
"""By extension."""
