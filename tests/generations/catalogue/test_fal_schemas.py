"""Each declaration beside fal's own schema, copied where one is public: what we send, fal takes, and means the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from generations.catalogue import MODELS, Model
from tests.generations.catalogue.example_orders import properties
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once

COPIES: dict[str, Any] = json.loads(Path(__file__).with_name("fal_schemas.json").read_text())
del COPIES["_"]
NOT_OFFERED = (ROOT / "docs/models.md").read_text().partition("## Inputs that are not offered")[2].partition("\n## ")[0]
copied = pytest.mark.parametrize(
    "model", [model for model in MODELS.values() if model.endpoint in COPIES], ids=lambda model: model.slug
)
# Where we mean something else than fal by saying nothing, and say it: then it is sent, and wins.
OUR_OWN_DEFAULTS = {("stable-audio-2.5", "seconds_total"): 30}


def fals(model: Model) -> dict[str, dict[str, Any]]:
    inputs: dict[str, dict[str, Any]] = COPIES[model.endpoint]["inputs"]
    return inputs


def values_of(schema: dict[str, Any]) -> set[Any]:
    return {value for part in schema.get("anyOf", [schema]) for value in part.get("enum", ())}


def bounds_of(schema: dict[str, Any]) -> tuple[float | None, float | None]:
    parts: list[dict[str, Any]] = schema.get("anyOf", [schema])
    bounded = [part for part in parts if "minimum" in part or "maximum" in part]
    return (bounded[0].get("minimum"), bounded[0].get("maximum")) if bounded else (None, None)


def test_every_model_on_offer_has_a_copy() -> None:
    assert {model.slug for model in MODELS.values() if model.endpoint not in COPIES} == set()
    assert all(copy["source"] and copy["seen"] for copy in COPIES.values())


@copied
def test_fal_knows_every_input(model: Model) -> None:
    """It ignores what it does not know: a misspelt input would be paid for and do nothing."""
    assert set(properties(model)) <= set(fals(model))
    assert set(COPIES[model.endpoint]["required"]) <= set(model.required_inputs())


@copied
def test_what_fal_takes_and_we_do_not_offer_is_said(model: Model) -> None:
    said = {
        name
        for names, slugs in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", NOT_OFFERED, re.M)
        if f"`{model.slug}`" in slugs or slugs == "all"
        for name in re.findall("`(.+?)`", names)
    }

    assert set(fals(model)) - set(properties(model)) <= said


@copied
def test_fal_takes_every_value_that_we_offer(model: Model) -> None:
    for name, schema in properties(model).items():
        theirs = fals(model)[name]
        if "enum" in theirs:
            low, high = bounds_of(schema)
            offered = values_of(schema) or set(range(int(low or 0), int(high or 0) + 1))
            assert offered <= set(theirs["enum"]), name


@copied
def test_our_bounds_lie_within_fals(model: Model) -> None:
    for name, schema in properties(model).items():
        low, high = bounds_of(schema)
        theirs = fals(model)[name]
        assert "minimum" not in theirs or (low is not None and low >= theirs["minimum"]), name
        assert "maximum" not in theirs or (high is not None and high <= theirs["maximum"]), name
        if "maxLength" in theirs:
            lengths = [part.get("maxLength") for part in schema.get("anyOf", [schema]) if part.get("type") == "string"]
            assert max(lengths) <= theirs["maxLength"], name


@copied
def test_free_sizes_lie_within_fals(model: Model) -> None:
    sides = fals(model).get("image_size", {}).get("sides", {"minimum": 0, "maximum": 14_142})

    shapes = [shape for shape in model.schema.get("$defs", {}).values() if "width" in shape["properties"]]
    for schema in shapes:
        for side in schema["properties"].values():
            assert sides["minimum"] <= side["minimum"] < side["maximum"] <= sides["maximum"]


@copied
def test_what_is_not_said_means_the_same_here_and_there(model: Model) -> None:
    for name, schema in properties(model).items():
        ours, theirs = schema.get("default"), fals(model)[name].get("default")
        if (model.slug, name) in OUR_OWN_DEFAULTS:
            assert ours == OUR_OWN_DEFAULTS[model.slug, name]
        else:
            # Without a default of ours nothing is sent, and fal's own holds.
            assert ours is None or theirs is None or ours == theirs, name
