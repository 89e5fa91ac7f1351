"""The inputs that fal describes, as fields of a declaration."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from generations.catalogue.declaration import Inputs
from generations.catalogue.fields import PROMPT_CHARACTERS_MAX
from generations.catalogue.importing.document import CannotDeclare, Document, mapping, words
from generations.catalogue.sizes import PIXELS_OF_PRESET

NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
TEXT_CHARACTERS_MAX = 4_000
# It would put the file into the answer, and hide the job from fal's record.
NEVER = {"sync_mode"}
PROMPTS = ("prompt", "text")
PROMPT = ("min_length=1", 'description="What to make."', 'json_schema_extra={"x-widget": "prompt"}')
# What a file is, by the name of the input. Files are looked at before an order is taken; of others we do not know how.
FILES = {"ImageUrl": re.compile("image|mask"), "AudioUrl": re.compile("audio"), "VideoUrl": re.compile("video")}
PICTURES_MAX = 4
# JSON Schema's word for a limit, and pydantic's.
LIMITS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
TYPES = {"integer": "int", "number": "float", "boolean": "bool"}
SIZE = "ImagePreset | CustomSize"


@dataclass(frozen=True, kw_only=True)
class Declared:
    """An input, as source."""

    annotation: str
    arguments: tuple[str, ...] = ()
    """Of its Field."""
    default: str = ""
    """Where there is no Field."""


def inputs_of(document: Document) -> tuple[dict[str, Declared], list[str]]:
    """By name, the required ones first; and the names that were left out."""
    schema = document.posted
    properties, required = mapping(schema.get("properties")), set(schema.get("required", ()))
    order = [name for name in schema.get("x-fal-order-properties", properties) if name in properties]
    found: dict[str, Declared] = {}
    left_out = []
    for name in sorted(set(order) - NEVER, key=lambda each: (each not in required, order.index(each))):
        declared = _field(document, name, mapping(properties[name]), is_required=name in required)
        if declared is not None:
            found[name] = declared
        elif name in required:
            raise CannotDeclare(f"The input {name!r} is required, and no declaration can say it. Write it by hand.")
        else:
            left_out.append(name)
    if not found:
        raise CannotDeclare("The document names no input that can be declared.")
    return found, left_out


def literal(value: Any) -> str:
    """Python for a JSON scalar, and never for anything else."""
    if isinstance(value, Decimal):
        return repr(float(value))
    if isinstance(value, str):
        # JSON's escapes are Python's, and its quotes are those of our formatter.
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    raise CannotDeclare("The document holds a value that is no plain one.")


def _field(document: Document, name: str, schema: Mapping[str, Any], *, is_required: bool) -> Declared | None:
    """None for what a form has no field for."""
    default = schema.get("default")
    if not _is_usable(name) or isinstance(default, Mapping | list):
        return None
    shape, annotation = _first(name, document.shapes(schema))
    if annotation is None or (annotation == "list[ImageUrl]" and not is_required):
        return None
    if annotation in FILES and not is_required:
        return Declared(annotation=f"Optional{annotation}", default="None")
    arguments = list(_arguments(name, shape, annotation, schema))
    if not is_required:
        arguments.insert(0, f"default={literal(default)}")
        annotation += " | None" if default is None else ""
    return Declared(annotation=annotation, arguments=tuple(arguments))


def _is_usable(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and not keyword.iskeyword(name) and not hasattr(Inputs, name)


def _first(name: str, shapes: list[Mapping[str, Any]]) -> tuple[Mapping[str, Any], str | None]:
    """Of several shapes the first that a form can show."""
    if name == "image_size" and any(set(PIXELS_OF_PRESET) <= set(shape.get("enum", ())) for shape in shapes):
        return {}, SIZE
    annotated = ((shape, _annotation(name, shape)) for shape in shapes)
    return next(((shape, found) for shape, found in annotated if found is not None), ({}, None))


def _annotation(name: str, shape: Mapping[str, Any]) -> str | None:
    if values := shape.get("enum"):
        plain = all(isinstance(value, str | int) for value in values)
        return f"Literal[{', '.join(map(literal, values))}]" if plain else None
    match shape.get("type"):
        case "string" if name.endswith("_url"):
            return next((kind for kind, words in FILES.items() if words.search(name)), None)
        case "array" if name.endswith("image_urls"):
            return "list[ImageUrl]"
        case "string":
            return "str"
    return TYPES.get(str(shape.get("type")))


def _arguments(name: str, shape: Mapping[str, Any], annotation: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if annotation == "list[ImageUrl]":
        yield "min_length=1"
        yield f"max_length={int(shape.get('maxItems', PICTURES_MAX))}"
        yield 'json_schema_extra={"x-widget": "images"}'
    elif annotation == "str":
        longest = PROMPT_CHARACTERS_MAX if name in PROMPTS else TEXT_CHARACTERS_MAX
        yield f"max_length={min(int(shape.get('maxLength', longest)), longest)}"
    elif annotation in {"int", "float"}:
        yield from _limits(name, shape)
    if name in PROMPTS and annotation == "str":
        yield from PROMPT
    elif said := words(schema.get("description")):
        yield f"description={literal(said)}"


def _limits(name: str, shape: Mapping[str, Any]) -> Iterator[str]:
    if name.endswith("seed") and "minimum" not in shape:
        yield "ge=0"
    for theirs, ours in LIMITS.items():
        # OpenAPI 3.0 may write a bare true for “exclusive”.
        if isinstance(shape.get(theirs), int | Decimal) and not isinstance(shape[theirs], bool):
            yield f"{ours}={literal(shape[theirs])}"
