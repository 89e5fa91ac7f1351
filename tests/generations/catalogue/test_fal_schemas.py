"""Each declaration compared with a public copy of fal's own schema: fal takes what Limn sends and means the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generations.catalogue import MODELS, Model
from tests.generations.catalogue.example_orders import properties
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once

COPIES: dict[str, Any] = json.loads(Path(__file__).with_name("fal_schemas.json").read_text())
del COPIES["_"]
PAGE = (ROOT / "docs/models.md").read_text()
# Defaults that differ from fal's on purpose. Limn sends them, so they win.
OWN_DEFAULTS = {("stable-audio-2.5", "seconds_total"): 30}


def schema_of_fal(model: Model) -> dict[str, dict[str, Any]]:
    inputs: dict[str, dict[str, Any]] = COPIES[model.endpoint]["inputs"]
    return inputs


def inputs_of_all_models() -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Slug, name of the input, its schema in the catalogue and its schema at fal."""
    for slug, model in MODELS.items():
        for name, schema in properties(model).items():
            yield slug, name, schema, schema_of_fal(model)[name]


def choices_of(schema: dict[str, Any]) -> set[Any]:
    return {value for part in schema.get("anyOf", [schema]) for value in part.get("enum", ())}


def bounds_of(schema: dict[str, Any]) -> tuple[float | None, float | None]:
    parts: list[dict[str, Any]] = schema.get("anyOf", [schema])
    bounded = [part for part in parts if "minimum" in part or "maximum" in part]
    return (bounded[0].get("minimum"), bounded[0].get("maximum")) if bounded else (None, None)


def test_there_is_a_copy_of_every_schema_with_its_source() -> None:
    assert {model.slug for model in MODELS.values() if model.endpoint not in COPIES} == set()
    assert all(copy["source"] and copy["seen"] for copy in COPIES.values())


def test_fal_knows_every_input() -> None:
    """fal ignores inputs that it does not know: a misspelt one would be paid for and do nothing."""
    for slug, model in MODELS.items():
        assert set(properties(model)) <= set(schema_of_fal(model)), slug
        assert set(COPIES[model.endpoint]["required"]) <= set(model.required_inputs()), slug


def test_inputs_that_are_not_offered_are_documented() -> None:
    table = PAGE.partition("## Inputs that are not offered")[2].partition("\n## ")[0]
    documented = {
        (slug, name)
        for names, slugs in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", table, re.M)
        for slug in (MODELS if slugs == "all" else re.findall("`(.+?)`", slugs))
        for name in re.findall("`(.+?)`", names)
    }

    missing = {
        (slug, name) for slug, model in MODELS.items() for name in set(schema_of_fal(model)) - set(properties(model))
    }
    assert missing - documented == set()


def test_fal_takes_every_choice() -> None:
    for slug, name, schema, of_fal in inputs_of_all_models():
        if "enum" in of_fal:
            low, high = bounds_of(schema)
            offered = choices_of(schema) or set(range(int(low or 0), int(high or 0) + 1))
            assert offered <= set(of_fal["enum"]), (slug, name)


def test_bounds_are_within_those_of_fal() -> None:
    for slug, name, schema, of_fal in inputs_of_all_models():
        low, high = bounds_of(schema)
        assert "minimum" not in of_fal or (low is not None and low >= of_fal["minimum"]), (slug, name)
        assert "maximum" not in of_fal or (high is not None and high <= of_fal["maximum"]), (slug, name)
        if "maxLength" in of_fal:
            texts = [part for part in schema.get("anyOf", [schema]) if part.get("type") == "string"]
            assert max(part.get("maxLength") for part in texts) <= of_fal["maxLength"], (slug, name)


def test_custom_sizes_are_within_those_of_fal() -> None:
    for slug, model in MODELS.items():
        sides = schema_of_fal(model).get("image_size", {}).get("sides", {"minimum": 0, "maximum": 14_142})
        sizes = [shape for shape in model.schema.get("$defs", {}).values() if "width" in shape["properties"]]
        for side in (side for size in sizes for side in size["properties"].values()):
            assert sides["minimum"] <= side["minimum"] < side["maximum"] <= sides["maximum"], slug


def test_a_default_is_that_of_fal() -> None:
    for slug, name, schema, of_fal in inputs_of_all_models():
        default, default_of_fal = schema.get("default"), of_fal.get("default")
        if (slug, name) in OWN_DEFAULTS:
            assert default == OWN_DEFAULTS[slug, name]
        else:
            # Without a default nothing is sent, and fal's own applies.
            assert default is None or default_of_fal is None or default == default_of_fal, (slug, name)
