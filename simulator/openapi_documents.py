"""fal's OpenAPI document of an endpoint (`/api/openapi/queue/openapi.json?endpoint_id=…`), made from the catalogue."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from generations.catalogue import ExpectedFile, Model, find_by_endpoint
from simulator.http_messages import Call, Reply, as_json
from simulator.outcomes import place

PATH = "/api/openapi/queue/openapi.json"
CATEGORIES = {"image": "text-to-image", "video": "text-to-video", "3d": "image-to-3d", "audio": "text-to-audio"}
FILES_OF = {"image": "Image", "video": "VideoFile", "audio": "AudioFile"}
# What our own catalogue leaves out, and every such document has.
SYNC_MODE = {
    "type": "boolean",
    "title": "Sync Mode",
    "default": False,
    "description": "If `True`, the media will be returned as a data URI.",
}
ADDRESS = {"type": "string"}
ADDRESSES: Mapping[str, Mapping[str, Any]] = {
    "image": ADDRESS,
    "audio": ADDRESS,
    "video": ADDRESS,
    "weights": ADDRESS,
    "images": {"type": "array", "items": ADDRESS},
}
JSON_TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
_FILE = {
    "url": {"type": "string", "title": "Url", "description": "The URL where the file can be downloaded from."},
    "content_type": {"type": "string", "title": "Content Type"},
    "file_name": {"type": "string", "title": "File Name"},
    "file_size": {"type": "integer", "title": "File Size"},
}
_SIZED = {**_FILE, "width": {"type": "integer"}, "height": {"type": "integer"}}
FILE_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "File": _FILE,
    "Image": _SIZED,
    "VideoFile": {**_SIZED, "duration": {"type": "number"}, "fps": {"type": "number"}},
    "AudioFile": {**_FILE, "duration": {"type": "number"}},
}


def answer(call: Call) -> Reply:
    """Nobody needs a key for it."""
    endpoint = call.query.get("endpoint_id", "")
    model = find_by_endpoint(endpoint)
    if model is None:
        return as_json({"detail": f"Application '{endpoint}' not found"}, 404)
    return as_json(document(model))


def document(model: Model) -> dict[str, Any]:
    name = "".join(part.capitalize() for part in re.split(r"[^a-zA-Z0-9]+", model.endpoint.partition("/")[2]))
    schemas = {
        f"{name}Input": _input(model),
        f"{name}Output": _output(model),
        **{found: _in_fals_place(schema) for found, schema in model.schema.get("$defs", {}).items()},
        **{kind: _object(properties, ["url"]) for kind, properties in FILE_SCHEMAS.items()},
    }
    path = f"/{model.endpoint}"
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {model.endpoint}",
            "version": "1.0.0",
            "description": model.summary,
            "x-fal-metadata": {"endpointId": model.endpoint, "category": _category(model)},
        },
        "components": {"schemas": schemas},
        "paths": {
            path: {"post": {"requestBody": {"required": True, "content": _json_of(f"{name}Input")}}},
            f"{path}/requests/{{request_id}}": {
                "get": {"responses": {"200": {"description": "Result", "content": _json_of(f"{name}Output")}}}
            },
        },
    }


def _category(model: Model) -> str:
    category = CATEGORIES[model.kind]
    takes_a_picture = any("image_url" in name for name in model.required_inputs())
    return category.replace("text-to", "image-to") if takes_a_picture else category


def _json_of(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _input(model: Model) -> dict[str, Any]:
    schema = _in_fals_place(model.schema)
    properties = {**schema["properties"], "sync_mode": SYNC_MODE}
    return {**_object(properties, schema.get("required", [])), "x-fal-order-properties": list(properties)}


def _in_fals_place(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema, its references where fal keeps them, and without words that are ours alone."""
    found: dict[str, Any] = json.loads(json.dumps(schema).replace("#/$defs/", "#/components/schemas/"))
    found.pop("$defs", None)
    found.pop("additionalProperties", None)
    for name, each in found.get("properties", {}).items():
        # That a file may lie with us is between us and our customers; fal knows addresses.
        each.pop("x-follows", None)
        if (widget := each.pop("x-widget", None)) in ADDRESSES:
            found["properties"][name] = {**_said(each), **ADDRESSES[widget]}
    return found


def _said(schema: Mapping[str, Any]) -> dict[str, Any]:
    words = ("title", "description", "default", "minItems", "maxItems")
    return {word: schema[word] for word in words if word in schema}


def _output(model: Model) -> dict[str, Any]:
    required: dict[str, Any] = dict.fromkeys(model.required_inputs(), "…")
    inputs = model.inputs.model_construct(**required)
    tree: dict[str, Any] = {}
    for file in model.expected_files(inputs):
        place(tree, file.role, _file_schema(file))
    properties = {name: _schema_of(value) for name, value in {**tree, **model.answer_extras(inputs)}.items()}
    return _object(properties, [next(iter(properties))])


def _file_schema(file: ExpectedFile) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{FILES_OF.get(file.media_type.partition('/')[0], 'File')}"}


def _schema_of(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        if "$ref" in value:
            return dict(value)
        return _object({name: _schema_of(inner) for name, inner in value.items()}, [])
    if isinstance(value, list):
        return {"type": "array", "items": _schema_of(value[0]) if value else {}}
    return {"type": JSON_TYPES[type(value)]}


def _object(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(required)}
