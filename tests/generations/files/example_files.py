"""Files of every type that we store, made for the tests: by the simulator, by Pillow, by hand."""

from __future__ import annotations

import io
import struct
import zipfile

from PIL import Image

from simulator.media import Drawing, draw


def drawn(media_type: str) -> bytes:
    return draw(
        Drawing(media_type=media_type, text="a fox", caption="flux", seed=5, width=320, height=200, seconds=1.0)
    )


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(file, kind)
    return file.getvalue()


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def film(brand: bytes = b"isom") -> bytes:
    """The outer boxes of an MP4; nobody looks inside."""
    return box(b"ftyp", brand + bytes(4)) + box(b"moov", bytes(40)) + box(b"mdat", bytes(400))


def large_film() -> bytes:
    """One whose box writes its length in 64 bits, and one that goes on to the end."""
    long_box = struct.pack(">I4sQ", 1, b"moov", 16 + 40) + bytes(40)
    return box(b"ftyp", b"isom" + bytes(4)) + long_box + struct.pack(">I4s", 0, b"mdat") + bytes(400)


def streamed_wav() -> bytes:
    """As a program writes it that cannot go back to the head."""
    sound = drawn("audio/wav")
    return sound[:4] + b"\xff\xff\xff\xff" + sound[8:]


def streamed_webm() -> bytes:
    return bytes.fromhex("1a45dfa3 87 4282 84") + b"webm" + bytes.fromhex("18538067 01ffffffffffffff") + bytes(100)


def matroska() -> bytes:
    return bytes.fromhex("1a45dfa3 8b 4282 88") + b"matroska" + bytes.fromhex("18538067 84") + bytes(4)


def usdz(name: str = "scene.usdc", *, packed: bool = False) -> bytes:
    """An archive with one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr(name, b"PXR-USDC" + bytes(200))
    return file.getvalue()


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
