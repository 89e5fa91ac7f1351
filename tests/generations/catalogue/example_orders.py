"""Example inputs of every model, derived from its JSON Schema. A new declaration is tested without new tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from generations.catalogue import Model

IMAGE = "https://example.com/fox.png"
AUDIO = "https://example.com/fox.mp3"
VIDEO = "https://example.com/fox.mp4"
WEIGHTS = "https://example.com/fox.safetensors"
FILES: dict[str, Any] = {"image": IMAGE, "images": [IMAGE], "audio": AUDIO, "video": VIDEO, "weights": WEIGHTS}
# Inputs whose value changes nothing that Limn computes.
WITHOUT_EFFECT = {
    *("seed", "texture_seed", "model_seed"),
    *("prompt", "negative_prompt", "system_prompt", "voice", "language_code"),
}


def properties(model: Model) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = model.schema["properties"]
    return found


def minimal_inputs(model: Model) -> dict[str, Any]:
    """The required inputs only."""
    return {name: examples(model, properties(model)[name])[0] for name in model.required_inputs()}


def examples(model: Model, schema: dict[str, Any]) -> list[Any]:
    """Valid values: every choice of an enumeration, both ends of a range, one file, a list of one."""
    if (widget := schema.get("x-widget")) in FILES:
        return [FILES[widget]]
    if "anyOf" in schema:
        return [value for part in schema["anyOf"] for value in examples(model, part)]
    if "$ref" in schema:
        part = model.schema["$defs"][schema["$ref"].rpartition("/")[2]]
        alternatives = {name for other in part.get("oneOf", [])[1:] for name in other["required"]}
        members = {n: examples(model, inner) for n, inner in part["properties"].items() if n not in alternatives}
        empty: list[Any] = [] if part.keys() & {"required", "oneOf"} else [{}]
        return [*empty, *(dict(zip(members, values, strict=True)) for values in itertools.product(*members.values()))]
    if "enum" in schema:
        return list(schema["enum"])
    by_type: dict[str, list[Any]] = {
        "boolean": [False, True],
        "integer": [schema.get("minimum"), schema.get("maximum")],
        "number": [schema.get("minimum"), schema.get("maximum")],
        "string": ["a fox"[: schema.get("maxLength")]],
        "null": [None],
        "array": [[each] for each in examples(model, schema.get("items", {"enum": []}))[-1:]],
    }
    return by_type[schema["type"]]


def all_inputs(model: Model) -> Iterator[dict[str, Any]]:
    """Every combination of the inputs that change something."""
    left_out = WITHOUT_EFFECT | set(model.inputs.exactly_one_of[1:]) | set(model.inputs.requires)
    choices = {name: examples(model, schema) for name, schema in properties(model).items() if name not in left_out}
    for values in itertools.product(*choices.values()):
        yield minimal_inputs(model) | dict(zip(choices, values, strict=True))
