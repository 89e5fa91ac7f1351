"""Inputs for any model of the catalogue, read from its JSON Schema: a new declaration is tested without a new test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from generations.catalogue import Model

IMAGE = "https://example.com/fox.png"
SOUND = "https://example.com/fox.mp3"
CLIP = "https://example.com/fox.mp4"
WEIGHTS = "https://example.com/fox.safetensors"
FILES: dict[str, Any] = {"image": IMAGE, "images": [IMAGE], "audio": SOUND, "video": CLIP, "weights": WEIGHTS}
# Which of these an order has makes no difference to anything that is computed from it.
_FREE = {"seed", "texture_seed", "model_seed", "prompt", "negative_prompt", "system_prompt", "voice", "language_code"}


def properties(model: Model) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = model.schema["properties"]
    return found


def minimal(model: Model) -> dict[str, Any]:
    """What the model cannot do without."""
    return {name: examples(model, properties(model)[name])[0] for name in model.required_inputs()}


def examples(model: Model, schema: dict[str, Any]) -> list[Any]:
    """Right values: every word of an enumeration, both ends of a range, one file, a list of one."""
    if (widget := schema.get("x-widget")) in FILES:
        return [FILES[widget]]
    if "anyOf" in schema:
        return [value for part in schema["anyOf"] for value in examples(model, part)]
    if "$ref" in schema:
        part = model.schema["$defs"][schema["$ref"].rpartition("/")[2]]
        others = {name for other in part.get("oneOf", [])[1:] for name in other["required"]}
        ends = {name: examples(model, inner) for name, inner in part["properties"].items() if name not in others}
        empty: list[Any] = [] if part.keys() & {"required", "oneOf"} else [{}]
        return [*empty, *(dict(zip(ends, values, strict=True)) for values in itertools.product(*ends.values()))]
    if "enum" in schema:
        return list(schema["enum"])
    plain: dict[str, list[Any]] = {
        "boolean": [False, True],
        "integer": [schema.get("minimum"), schema.get("maximum")],
        "number": [schema.get("minimum"), schema.get("maximum")],
        "string": ["a fox"[: schema.get("maxLength")]],
        "null": [None],
        "array": [[each] for each in examples(model, schema.get("items", {"enum": []}))[-1:]],
    }
    return plain[schema["type"]]


def every_wish(model: Model) -> Iterator[dict[str, Any]]:
    """Every combination of what makes a difference."""
    left_out = _FREE | set(model.inputs.exactly_one_of[1:]) | set(model.inputs.requires)
    choices = {name: examples(model, schema) for name, schema in properties(model).items() if name not in left_out}
    for values in itertools.product(*choices.values()):
        yield minimal(model) | dict(zip(choices, values, strict=True))
