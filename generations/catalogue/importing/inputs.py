"""Translates the inputs that fal describes into fields of a declaration, as Python source."""

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
from generations.catalogue.importing.document import CannotDeclare, Document, as_mapping, shortened
from generations.catalogue.sizes import PIXELS_OF_PRESET

NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
TEXT_CHARACTERS_MAX = 4_000
# `sync_mode` would put the files into the answer and keep the job out of fal's record of requests (docs/fal.md).
NEVER_OFFERED = {"sync_mode"}
PROMPTS = ("prompt", "text")
PROMPT = ("min_length=1", 'description="What to generate."', 'json_schema_extra={"x-widget": "prompt"}')
# The kind of a file by the name of its input. Limn inspects input files before an order is placed; other kinds it
# could not inspect.
FILES = {"ImageUrl": re.compile("image|mask"), "AudioUrl": re.compile("audio"), "VideoUrl": re.compile("video")}
IMAGES_MAX = 4
# A limit in JSON Schema → in pydantic.
LIMITS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
TYPES = {"integer": "int", "number": "float", "boolean": "bool"}
SIZE = "ImagePreset | CustomSize"
IMAGE_LIST = "list[ImageUrl]"


@dataclass(frozen=True, kw_only=True)
class FieldSource:
    """A field of a declaration, as Python source."""

    annotation: str
    arguments: tuple[str, ...] = ()
    """The arguments of pydantic's `Field`. Empty if the field has none."""
    default: str = ""
    """The default of a field without `Field`. Empty if it is required."""


def declare_inputs(document: Document) -> tuple[dict[str, FieldSource], list[str]]:
    """Return the fields by name, required ones first, and the names of optional inputs that were left out.

    Raises:
        CannotDeclare: A required input cannot be declared, or no input can.
    """
    schema = document.input_schema
    properties, required = as_mapping(schema.get("properties")), set(schema.get("required", ()))
    order = [name for name in schema.get("x-fal-order-properties", properties) if name in properties]
    found: dict[str, FieldSource] = {}
    left_out = []
    for name in sorted(set(order) - NEVER_OFFERED, key=lambda each: (each not in required, order.index(each))):
        declared = _declare(document, name, as_mapping(properties[name]), is_required=name in required)
        if declared is not None:
            found[name] = declared
        elif name in required:
            raise CannotDeclare(f"The required input {name!r} cannot be declared. Write the model by hand.")
        else:
            left_out.append(name)
    if not found:
        raise CannotDeclare("The document names no input that can be declared.")
    return found, left_out


def literal(value: Any) -> str:
    """Return the Python source of a JSON scalar. Raises CannotDeclare for any other value."""
    if isinstance(value, Decimal):
        return repr(float(value))
    if isinstance(value, str):
        # JSON's escapes are valid in Python, and its double quotes are those of the formatter.
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    raise CannotDeclare("The document has a list or an object where a plain value was expected.")


def _declare(document: Document, name: str, schema: Mapping[str, Any], *, is_required: bool) -> FieldSource | None:
    """Return the field of one input, or None if a form has no control for it."""
    default = schema.get("default")
    # A name that pydantic's BaseModel already has would replace the method.
    is_usable = NAME.fullmatch(name) and not keyword.iskeyword(name) and not hasattr(Inputs, name)
    if not is_usable or isinstance(default, Mapping | list):
        return None
    alternatives = document.alternatives(schema)
    shape: Mapping[str, Any] = {}
    annotation: str | None = None
    if name == "image_size" and any(set(PIXELS_OF_PRESET) <= set(each.get("enum", ())) for each in alternatives):
        annotation = SIZE
    else:
        # Of several types that fal takes, the first that a form can show.
        for shape in alternatives:
            if (annotation := _annotation(name, shape)) is not None:
                break
    # There is no input type for an optional list of images.
    if annotation is None or (annotation == IMAGE_LIST and not is_required):
        return None
    if annotation in FILES and not is_required:
        return FieldSource(annotation=f"Optional{annotation}", default="None")
    arguments = list(_arguments(name, shape, annotation, schema))
    if not is_required:
        # Without a default of fal's the input is optional, and nothing is sent unless it is given.
        arguments.insert(0, f"default={literal(default)}")
        annotation += " | None" if default is None else ""
    return FieldSource(annotation=annotation, arguments=tuple(arguments))


def _annotation(name: str, shape: Mapping[str, Any]) -> str | None:
    """Return the Python type of a schema, or None if a form has no control for it."""
    if values := shape.get("enum"):
        is_plain = all(isinstance(value, str | int) for value in values)
        return f"Literal[{', '.join(map(literal, values))}]" if is_plain else None
    match shape.get("type"):
        case "string" if name.endswith("_url"):
            return next((kind for kind, pattern in FILES.items() if pattern.search(name)), None)
        case "array" if name.endswith("image_urls"):
            return IMAGE_LIST
        case "string":
            return "str"
    return TYPES.get(str(shape.get("type")))


def _arguments(name: str, shape: Mapping[str, Any], annotation: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the arguments of the field's `Field`, without its default."""
    if annotation == IMAGE_LIST:
        yield "min_length=1"
        yield f"max_length={int(shape.get('maxItems', IMAGES_MAX))}"
        yield 'json_schema_extra={"x-widget": "images"}'
    elif annotation == "str":
        longest = PROMPT_CHARACTERS_MAX if name in PROMPTS else TEXT_CHARACTERS_MAX
        yield f"max_length={min(int(shape.get('maxLength', longest)), longest)}"
    elif annotation in {"int", "float"}:
        if name.endswith("seed") and "minimum" not in shape:
            yield "ge=0"
        for of_schema, of_pydantic in LIMITS.items():
            limit = shape.get(of_schema)
            # OpenAPI 3.0 writes `exclusiveMinimum: true` beside a minimum.
            if isinstance(limit, int | Decimal) and not isinstance(limit, bool):
                yield f"{of_pydantic}={literal(limit)}"
    if name in PROMPTS and annotation == "str":
        yield from PROMPT
    elif description := shortened(schema.get("description")):
        yield f"description={literal(description)}"
