"""The files that fal's answer holds, as far as Limn stores their kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from generations.catalogue.importing.document import CannotDeclare, Document, mapping
from generations.catalogue.importing.inputs import literal

DEPTH_MAX = 3
# What a file is, by the last word of its place in the answer. What Limn does not store is not expected.
TYPE_OF = {
    "video": "video/mp4",
    "audio": "audio/mpeg",
    "audio_file": "audio/mpeg",
    "glb": "model/gltf-binary",
    "model_glb": "model/gltf-binary",
    "model_mesh": "model/gltf-binary",
    "base_model": "model/gltf-binary",
    "pbr_model": "model/gltf-binary",
    "fbx": "application/octet-stream",
}
CHOSEN = "picture_type(inputs)"


def files_of(document: Document) -> dict[str, str]:
    """JSON path in the answer → media type, as source."""
    found = {place: kind for place, kind in _places(document, document.answered, "", 0) if kind is not None}
    if not found:
        raise CannotDeclare("Its answer names no file of a kind that Limn stores.")
    return found


def _places(document: Document, schema: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, str | None]]:
    """Each file with its type; None for what is not stored."""
    for name, each in mapping(schema.get("properties")).items():
        shape = next(iter(document.shapes(mapping(each))), {})
        if depth > DEPTH_MAX or not re.fullmatch(r"\w{1,60}", str(name), re.ASCII):
            continue
        in_a_list = shape.get("type") == "array"
        item = document.resolved(mapping(shape.get("items"))) if in_a_list else shape
        place = f"{path}.{name}" if path else str(name)
        if "url" in mapping(item.get("properties")):
            yield (f"{place}[0]" if in_a_list else place), _media_type(str(name), item)
        elif not in_a_list:
            yield from _places(document, item, place, depth + 1)


def _media_type(name: str, file: Mapping[str, Any]) -> str | None:
    properties = mapping(file.get("properties"))
    is_picture = "width" in properties and "duration" not in properties
    if is_picture or "image" in name or "thumbnail" in name:
        return CHOSEN
    return literal(TYPE_OF[name]) if name in TYPE_OF else None
