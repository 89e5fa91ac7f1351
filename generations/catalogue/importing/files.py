"""Finds the files of fal's answer in the schema of its output. Only kinds of files that Limn stores are declared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from generations.catalogue.importing.document import CannotDeclare, Document, as_mapping
from generations.catalogue.importing.inputs import literal

DEPTH_MAX = 3
# The type of a file by its name in the answer: the document does not tell it.
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
IMAGE_TYPE = "image_type(inputs)"


def declare_files(document: Document) -> dict[str, str]:
    """Return the Python source of each media type by its JSON path. Raises CannotDeclare if there is no file."""
    found = dict(_find_files(document, document.output_schema, "", 0))
    if not found:
        raise CannotDeclare("Its answer names no file of a kind that Limn stores.")
    return found


def _find_files(document: Document, schema: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, str]]:
    for name, member in as_mapping(schema.get("properties")).items():
        shape = next(iter(document.alternatives(as_mapping(member))), {})
        if depth > DEPTH_MAX or not re.fullmatch(r"\w{1,60}", str(name), re.ASCII):
            continue
        is_list = shape.get("type") == "array"
        item = document.resolve(as_mapping(shape.get("items"))) if is_list else shape
        place = f"{path}.{name}" if path else str(name)
        properties = as_mapping(item.get("properties"))
        if "url" in properties:
            # fal's video files have a width too, but also a duration.
            is_image = "width" in properties and "duration" not in properties
            if is_image or "image" in name or "thumbnail" in name:
                yield (f"{place}[0]" if is_list else place), IMAGE_TYPE
            elif name in TYPE_OF:
                yield (f"{place}[0]" if is_list else place), literal(TYPE_OF[name])
        elif not is_list:
            yield from _find_files(document, item, place, depth + 1)
