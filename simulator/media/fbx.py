"""Draws 3D models as FBX files: a cube of six quads in the binary format, version 7.4.

The format is not published; this follows https://code.blender.org/2013/08/fbx-binary-file-format-specification/
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"Kaydara FBX Binary  \x00\x1a\x00"
VERSION = 7400
# An empty node ends each list of nodes.
END_OF_LIST = b"\0" * 13
FOOTER_MAGIC = bytes.fromhex("f85a8c6adef5d97eece90ce3758f290b")
# Bytes of a node before its name and properties, without the length byte of the name: three 32-bit numbers.
NODE_HEAD_BYTES = 12

CORNERS = [-1.0, -1, -1, 1, -1, -1, 1, 1, -1, -1, 1, -1, -1, -1, 1, 1, -1, 1, 1, 1, 1, -1, 1, 1]
# The format marks the last corner of each quad by storing its complement.
QUADS = [0, 3, 2, ~1, 4, 5, 6, ~7, 0, 1, 5, ~4, 2, 3, 7, ~6, 1, 2, 6, ~5, 3, 0, 4, ~7]


@dataclass(frozen=True)
class Node:
    """A name, encoded properties, and child nodes."""

    name: str
    properties: tuple[bytes, ...] = ()
    children: tuple[Node, ...] = ()


def draw(caption: str) -> bytes:
    """Return an FBX file with one mesh, which is named by the caption."""
    header = Node(
        "FBXHeaderExtension",
        children=(
            Node("FBXVersion", (b"I" + struct.pack("<i", VERSION),)),
            Node("Creator", (_text(b"limn simulator"),)),
        ),
    )
    geometry = Node(
        "Geometry",
        properties=(b"L" + struct.pack("<q", 1), _text(caption.encode() + b"\x00\x01Geometry"), _text(b"Mesh")),
        children=(
            Node("Vertices", (_array("d", 8, CORNERS),)),
            Node("PolygonVertexIndex", (_array("i", 4, QUADS),)),
        ),
    )
    content = MAGIC + struct.pack("<I", VERSION)
    for node in (header, Node("Objects", children=(geometry,))):
        content += _encode(node, offset=len(content))
    content += END_OF_LIST
    # The footer is aligned to 16 bytes.
    padding = b"\0" * (-len(content) % 16)
    return content + b"\0" * 16 + padding + struct.pack("<II", 0, VERSION) + b"\0" * 120 + FOOTER_MAGIC


def _encode(node: Node, *, offset: int) -> bytes:
    """Return the bytes of a node that starts at this offset of the file. A node begins with the offset of its end."""
    name = node.name.encode()
    properties = b"".join(node.properties)
    body = struct.pack("<B", len(name)) + name + properties
    for child in node.children:
        body += _encode(child, offset=offset + NODE_HEAD_BYTES + len(body))
    if node.children:
        body += END_OF_LIST
    end = offset + NODE_HEAD_BYTES + len(body)
    return struct.pack("<III", end, len(node.properties), len(properties)) + body


def _text(value: bytes) -> bytes:
    return b"S" + struct.pack("<I", len(value)) + value


def _array(code: str, item_bytes: int, values: list[float] | list[int]) -> bytes:
    """Encode an uncompressed array: type, count, encoding 0, length in bytes, and the items."""
    head = struct.pack("<III", len(values), 0, item_bytes * len(values))
    return code.encode() + head + struct.pack(f"<{len(values)}{code}", *values)
