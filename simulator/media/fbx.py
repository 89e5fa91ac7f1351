"""FBX files: a cube of quads in the binary format, version 7.4.

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

CORNERS = [-1.0, -1, -1, 1, -1, -1, 1, 1, -1, -1, 1, -1, -1, -1, 1, 1, -1, 1, 1, 1, 1, -1, 1, 1]
# The last corner of each quad is written as its complement.
QUADS = [0, 3, 2, ~1, 4, 5, 6, ~7, 0, 1, 5, ~4, 2, 3, 7, ~6, 1, 2, 6, ~5, 3, 0, 4, ~7]


@dataclass(frozen=True)
class Node:
    """A name, encoded properties, and nodes below it."""

    name: str
    properties: tuple[bytes, ...] = ()
    children: tuple[Node, ...] = ()


def draw(caption: str) -> bytes:
    nodes = (_header(), Node("Objects", (), (_geometry(caption),)))
    content = MAGIC + struct.pack("<I", VERSION)
    for node in nodes:
        content += _encoded(node, offset=len(content))
    return content + END_OF_LIST + _footer(len(content) + len(END_OF_LIST))


def _header() -> Node:
    version = Node("FBXVersion", (_whole(VERSION),))
    return Node("FBXHeaderExtension", (), (version, Node("Creator", (_text("limn simulator"),))))


def _geometry(caption: str) -> Node:
    vertices = Node("Vertices", (_doubles(CORNERS),))
    polygons = Node("PolygonVertexIndex", (_wholes(QUADS),))
    return Node("Geometry", (_long(1), _text(f"{caption}\x00\x01Geometry"), _text("Mesh")), (vertices, polygons))


def _encoded(node: Node, *, offset: int) -> bytes:
    """A node begins with the offset at which it ends, so it must know where it stands."""
    name = node.name.encode()
    properties = b"".join(node.properties)
    body = struct.pack("<B", len(name)) + name + properties
    for child in node.children:
        body += _encoded(child, offset=offset + 12 + len(body))
    if node.children:
        body += END_OF_LIST
    return struct.pack("<III", offset + 12 + len(body), len(node.properties), len(properties)) + body


def _footer(length: int) -> bytes:
    padding = b"\0" * (-length % 16)
    return b"\0" * 16 + padding + struct.pack("<II", 0, VERSION) + b"\0" * 120 + FOOTER_MAGIC


def _text(value: str) -> bytes:
    return b"S" + struct.pack("<I", len(value.encode())) + value.encode()


def _whole(value: int) -> bytes:
    return b"I" + struct.pack("<i", value)


def _long(value: int) -> bytes:
    return b"L" + struct.pack("<q", value)


def _doubles(values: list[float]) -> bytes:
    return b"d" + struct.pack("<III", len(values), 0, 8 * len(values)) + struct.pack(f"<{len(values)}d", *values)


def _wholes(values: list[int]) -> bytes:
    return b"i" + struct.pack("<III", len(values), 0, 4 * len(values)) + struct.pack(f"<{len(values)}i", *values)
