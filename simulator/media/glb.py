"""Draws 3D models as GLB files: a cube with the prompt on each of its sides.

The format is https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html: a JSON document, and one binary buffer that
the document divides into views.
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

# For each side of the cube: its normal, and the two directions that span it, as seen from outside.
SIDES: tuple[tuple[Vector, Vector, Vector], ...] = (
    ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    ((0, 0, -1), (-1, 0, 0), (0, 1, 0)),
    ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
    ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
)
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))
ATTRIBUTES = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}


def draw(text: str, caption: str, *, seed: int) -> bytes:
    """Return a GLB file of one textured cube."""
    texture = images.encode(images.draw(text, caption, seed=seed, size=TEXTURE_SIZE), "image/jpeg")
    parts = [*_mesh(), texture]
    # Both chunks must be a multiple of four bytes long; the JSON is padded with spaces.
    document = _pad(json.dumps(_document(parts), separators=(",", ":")).encode(), b" ")
    binary = b"".join(map(_pad, parts))
    chunks = struct.pack("<I4s", len(document), b"JSON") + document
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _mesh() -> list[bytes]:
    """Return positions, normals, texture coordinates and indices: four corners for each of the six sides."""
    positions, normals, coordinates, indices = b"", b"", b"", b""
    for side, (normal, right, up) in enumerate(SIDES):
        for x, y in CORNERS:
            corner = [(n + x * r + y * u) / 2 for n, r, u in zip(normal, right, up, strict=True)]
            positions += struct.pack("<3f", *corner)
            normals += struct.pack("<3f", *normal)
            coordinates += struct.pack("<2f", (x + 1) / 2, (1 - y) / 2)
        # Two triangles, counter-clockwise as seen from outside.
        indices += struct.pack("<6H", *(side * 4 + corner for corner in (0, 1, 2, 0, 2, 3)))
    return [positions, normals, coordinates, indices]


def _document(parts: list[bytes]) -> dict[str, Any]:
    """Return the JSON that describes the four parts of the mesh and the texture."""
    views, offset = [], 0
    for part, target in zip(parts, (VERTICES, VERTICES, VERTICES, INDICES, None), strict=True):
        view: dict[str, Any] = {"buffer": 0, "byteOffset": offset, "byteLength": len(part)}
        # The texture is no vertex data and has no target.
        views.append(view if target is None else {**view, "target": target})
        offset += len(_pad(part))
    bounds = {"min": [-0.5] * 3, "max": [0.5] * 3}
    return {
        "asset": {"version": "2.0", "generator": "limn simulator"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": ATTRIBUTES, "indices": 3, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 4, "mimeType": "image/jpeg"}],
        "accessors": [
            {"bufferView": 0, "componentType": FLOAT, "count": 24, "type": "VEC3", **bounds},
            {"bufferView": 1, "componentType": FLOAT, "count": 24, "type": "VEC3"},
            {"bufferView": 2, "componentType": FLOAT, "count": 24, "type": "VEC2"},
            {"bufferView": 3, "componentType": UNSIGNED_SHORT, "count": 36, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }


def _pad(data: bytes, filler: bytes = b"\0") -> bytes:
    return data + filler * (-len(data) % 4)
