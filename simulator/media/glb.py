"""3D models: a cube in a GLB file, with the order's words on each of its sides.

Format: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import json
import struct
from typing import Any

from simulator.media import images

TEXTURE_SIZE = (512, 512)
FLOAT, UNSIGNED_SHORT = 5126, 5123
VERTICES, INDICES = 34962, 34963

Vector = tuple[float, float, float]

# For each side of the cube: where it looks, and the two directions that span it, as seen from outside.
SIDES: tuple[tuple[Vector, Vector, Vector], ...] = (
    ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    ((0, 0, -1), (-1, 0, 0), (0, 1, 0)),
    ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
    ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
)
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def draw(text: str, caption: str, *, seed: int) -> bytes:
    texture = images.encode(images.draw(text, caption, seed=seed, size=TEXTURE_SIZE), "image/jpeg")
    parts = [*_mesh(), texture]
    return _container(_document(parts), b"".join(map(_padded, parts)))


def _mesh() -> list[bytes]:
    """Positions, normals, texture coordinates and indices: four corners for each of the six sides."""
    positions, normals, coordinates, indices = b"", b"", b"", b""
    for side, (normal, right, up) in enumerate(SIDES):
        for x, y in CORNERS:
            corner = [(n + x * r + y * u) / 2 for n, r, u in zip(normal, right, up, strict=True)]
            positions += struct.pack("<3f", *corner)
            normals += struct.pack("<3f", *normal)
            coordinates += struct.pack("<2f", (x + 1) / 2, (1 - y) / 2)
        indices += struct.pack("<6H", *(side * 4 + corner for corner in (0, 1, 2, 0, 2, 3)))
    return [positions, normals, coordinates, indices]


def _document(parts: list[bytes]) -> dict[str, Any]:
    return {
        "asset": {"version": "2.0", "generator": "limn simulator"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": _ATTRIBUTES, "indices": 3, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 4, "mimeType": "image/jpeg"}],
        "accessors": _accessors(),
        "bufferViews": _views(parts),
        "buffers": [{"byteLength": sum(len(_padded(part)) for part in parts)}],
    }


_ATTRIBUTES = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}


def _accessors() -> list[dict[str, Any]]:
    bounds = {"min": [-0.5] * 3, "max": [0.5] * 3}
    return [
        {"bufferView": 0, "componentType": FLOAT, "count": 24, "type": "VEC3", **bounds},
        {"bufferView": 1, "componentType": FLOAT, "count": 24, "type": "VEC3"},
        {"bufferView": 2, "componentType": FLOAT, "count": 24, "type": "VEC2"},
        {"bufferView": 3, "componentType": UNSIGNED_SHORT, "count": 36, "type": "SCALAR"},
    ]


def _views(parts: list[bytes]) -> list[dict[str, Any]]:
    views, offset = [], 0
    for part, target in zip(parts, (VERTICES, VERTICES, VERTICES, INDICES, None), strict=True):
        view: dict[str, Any] = {"buffer": 0, "byteOffset": offset, "byteLength": len(part)}
        views.append(view if target is None else {**view, "target": target})
        offset += len(_padded(part))
    return views


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    text = _padded(json.dumps(document, separators=(",", ":")).encode(), b" ")
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _padded(data: bytes, filler: bytes = b"\0") -> bytes:
    return data + filler * (-len(data) % 4)
