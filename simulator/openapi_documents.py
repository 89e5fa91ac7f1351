"""fal's OpenAPI document of an endpoint (`/api/openapi/queue/openapi.json?endpoint_id=…`), built from the catalogue.

Limn's `import_model` and the documentation tests read these documents. Where the catalogue's schema differs from what
fal publishes, for instance because a file may be stored by Limn, the document has fal's form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from generations.catalogue import Model, find_by_endpoint
from simulator.http_messages import HttpRequest, HttpResponse, json_response
from simulator.outcomes import set_at_path

PATH = "/api/openapi/queue/openapi.json"
CATEGORIES = {"image": "text-to-image", "video": "text-to-video", "3d": "image-to-3d", "audio": "text-to-audio"}
# Part of every document of fal's, but not of the catalogue: Limn never asks for data: URLs.
SYNC_MODE = {
    "type": "boolean",
    "title": "Sync Mode",
    "default": False,
    "description": "If `True`, the media will be returned as a data URI.",
}
# Inputs that Limn's form shows as a file picker are plain URLs at fal.
URL = {"type": "string"}
SCHEMA_OF_WIDGET: Mapping[str, Mapping[str, Any]] = {
    "image": URL,
    "audio": URL,
    "video": URL,
    "weights": URL,
    "images": {"type": "array", "items": URL},
}
KEPT_WITH_WIDGET = ("title", "description", "default", "minItems", "maxItems")
JSON_TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
FILE_SCHEMA_OF = {"image": "Image", "video": "VideoFile", "audio": "AudioFile"}
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


def answer(http_request: HttpRequest) -> HttpResponse:
    """Handle GET of a document. No key is needed."""
    endpoint = http_request.query.get("endpoint_id", "")
    model = find_by_endpoint(endpoint)
    if model is None:
        return json_response({"detail": f"Application '{endpoint}' not found"}, 404)
    return json_response(document(model))


def document(model: Model) -> dict[str, Any]:
    """Return the OpenAPI document of a model's endpoint."""
    name = "".join(part.capitalize() for part in re.split(r"[^a-zA-Z0-9]+", model.endpoint.partition("/")[2]))
    category = CATEGORIES[model.kind]
    if any("image_url" in field for field in model.required_inputs()):
        category = category.replace("text-to", "image-to")
    inputs = _as_published(model.schema)
    properties = {**inputs["properties"], "sync_mode": SYNC_MODE}
    schemas = {
        f"{name}Input": {
            **_object(properties, inputs.get("required", [])),
            "x-fal-order-properties": list(properties),
        },
        f"{name}Output": _output_schema(model),
        **{definition: _as_published(schema) for definition, schema in model.schema.get("$defs", {}).items()},
        **{kind: _object(fields, ["url"]) for kind, fields in FILE_SCHEMAS.items()},
    }
    path = f"/{model.endpoint}"
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {model.endpoint}",
            "version": "1.0.0",
            "description": model.summary,
            "x-fal-metadata": {"endpointId": model.endpoint, "category": category},
        },
        "components": {"schemas": schemas},
        "paths": {
            path: {"post": {"requestBody": {"required": True, "content": _json_content(f"{name}Input")}}},
            f"{path}/requests/{{request_id}}": {
                "get": {"responses": {"200": {"description": "Result", "content": _json_content(f"{name}Output")}}}
            },
        },
    }


def _json_content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _as_published(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of the catalogue as fal publishes it: references moved, Limn's extensions removed."""
    # Through JSON, which copies it deeply.
    published: dict[str, Any] = json.loads(json.dumps(schema).replace("#/$defs/", "#/components/schemas/"))
    published.pop("$defs", None)
    # The catalogue refuses unknown inputs, fal ignores them.
    published.pop("additionalProperties", None)
    for name, field in published.get("properties", {}).items():
        field.pop("x-follows", None)
        if (widget := field.pop("x-widget", None)) in SCHEMA_OF_WIDGET:
            kept = {keyword: field[keyword] for keyword in KEPT_WITH_WIDGET if keyword in field}
            published["properties"][name] = {**kept, **SCHEMA_OF_WIDGET[widget]}
    return published


def _output_schema(model: Model) -> dict[str, Any]:
    """Derive the schema of the answer from the files and extras that the catalogue expects with default inputs."""
    required: dict[str, Any] = dict.fromkeys(model.required_inputs(), "…")
    inputs = model.inputs.model_construct(**required)
    answer: dict[str, Any] = {}
    for file in model.expected_files(inputs):
        kind = FILE_SCHEMA_OF.get(file.media_type.partition("/")[0], "File")
        set_at_path(answer, file.role, {"$ref": f"#/components/schemas/{kind}"})
    answer |= model.answer_extras(inputs)
    properties = {name: _schema_of(value) for name, value in answer.items()}
    return _object(properties, [next(iter(properties))])


def _schema_of(value: Any) -> dict[str, Any]:
    """Return the schema of an example value. A `$ref` in the example is kept."""
    if isinstance(value, Mapping):
        if "$ref" in value:
            return dict(value)
        return _object({name: _schema_of(inner) for name, inner in value.items()}, [])
    if isinstance(value, list):
        return {"type": "array", "items": _schema_of(value[0]) if value else {}}
    return {"type": JSON_TYPES[type(value)]}


def _object(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(required)}
