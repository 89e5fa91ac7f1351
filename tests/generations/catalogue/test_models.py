"""Rules that hold for every model of the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from generations.catalogue import MODELS, InvalidInput, Model, UnknownModel, find, find_by_endpoint, image, registry
from generations.catalogue.outputs import MEDIA_TYPE_OF, Images
from tests.generations.catalogue.example_orders import all_inputs, examples, minimal_inputs, properties

pytestmark = pytest.mark.once

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def accepts(model: Model, raw: Any) -> bool:
    try:
        model.read(raw)
    except InvalidInput:
        return False
    return True


# --- The registry ---


def test_a_model_is_found_by_slug_and_by_endpoint() -> None:
    assert [find(slug) for slug in MODELS] == list(MODELS.values())
    assert [find_by_endpoint(model.endpoint) for model in MODELS.values()] == list(MODELS.values())


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(UnknownModel, match=r"There is no model “dall-e”\. Models: .*flux-schnell"):
        find("dall-e")

    assert find_by_endpoint("fal-ai/dall-e") is None


def test_two_models_cannot_share_a_slug(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = dataclasses.replace(image.FLUX_SCHNELL, endpoint="fal-ai/twin")
    monkeypatch.setattr(image, "TWIN", twin, raising=False)

    with pytest.raises(RuntimeError, match="share a slug"):
        registry.collect()


def test_the_deadline_is_later_than_the_start_time_out_and_both_later_than_the_usual_end() -> None:
    for model in MODELS.values():
        assert 0 < model.typical_seconds < model.start_timeout_seconds < model.deadline_seconds, model.slug


def test_the_seed_of_a_model_is_one_of_its_inputs() -> None:
    """The seed of a texture alone does not repeat a result."""
    for model in MODELS.values():
        seeds = [name for name in model.inputs.model_fields if name.endswith("seed") and name != "texture_seed"]

        assert seeds in ([], [model.seed]), model.slug


# --- Defaults and missing inputs ---


def test_arguments_spell_out_every_default() -> None:
    """The quoted price is then that of the job, even if fal changes a default."""
    for model in MODELS.values():
        defaults = {name: s["default"] for name, s in properties(model).items() if s.get("default") is not None}
        needed = minimal_inputs(model)

        assert model.arguments(model.read(needed)) == defaults | needed, model.slug


def test_missing_inputs_are_named() -> None:
    for model in MODELS.values():
        with pytest.raises(InvalidInput) as refusal:
            model.read({})

        # If one of several inputs is required, this is reported once all else is right.
        missing = {(name, "missing") for name in model.schema.get("required", [])}
        expected = missing or {(model.inputs.exactly_one_of[0], "misfit")}
        assert {(error["loc"][0], error["type"]) for error in refusal.value.errors} == expected


# --- Strictness ---


@every_model
def test_b17_an_unknown_input_is_refused_by_name(model: Model) -> None:
    """`sync_mode` would put the files into the answer."""
    for name in ("sync_mode", "webhook_url", "fal_webhook", "Prompt", "seed ", "__class__", "", "num_image"):
        with pytest.raises(InvalidInput) as refusal:
            model.read(minimal_inputs(model) | {name: True})

        assert [(error["loc"], error["type"]) for error in refusal.value.errors] == [([name], "extra_forbidden")]


def test_inputs_that_are_no_object_are_refused() -> None:
    model = find("flux-schnell")

    for raw in (None, [], "a fox", 5, [["prompt", "a fox"]], {1: 2}, {None: "x"}, b"{}"):
        assert not accepts(model, raw), raw


WRONG: dict[str, list[Any]] = {
    "integer": ["4", 4.0, 4.5, True, [4], 10**30, -(10**30)],
    "number": ["3.5", True, [3.5], float("nan"), float("inf"), -1e300, 10**400],
    "boolean": ["true", "false", 1, 0, "", [True]],
    "string": [4, True, ["a fox"], {"text": "a fox"}, b"a fox", ""],
    "enum": [4, 4.0, True, None, "nonsense", "", ["png"]],
    "array": ["a fox", {}, True, [True], [["a fox"]], []],
}


def wrong_values(name: str, schema: dict[str, Any]) -> Iterator[Any]:
    """Values of another type than the input takes, some of which a lenient reader would convert."""
    for part in schema.get("anyOf", [schema]):
        kind = "enum" if "enum" in part else part.get("type", "object")
        may_be_empty = kind == "string" and "minLength" not in schema and "url" not in name
        yield from (wrong for wrong in WRONG.get(kind, []) if not (wrong == "" and may_be_empty))


@every_model
def test_no_value_is_converted_to_the_type_of_its_input(model: Model) -> None:
    """“4” is not 4, and neither is 4.0; true is not 1."""
    accepted = [
        (name, wrong)
        for name, schema in properties(model).items()
        for wrong in wrong_values(name, schema)
        if accepts(model, minimal_inputs(model) | {name: wrong})
    ]

    assert accepted == []


def test_a_custom_size_is_as_strict() -> None:
    sizes: list[Any] = [{"width": "512"}, {"width": 512.0}, {"width": 100}, {"height": 513}, {"depth": 8}, [], 5]

    for size in sizes:
        assert not accepts(find("flux-schnell"), {"prompt": "a fox", "image_size": size}), size


def test_b25_text_that_no_database_stores_is_refused() -> None:
    for text in ("a\0fox", "\ud800", "fox\udfff", "\udc00\ud800"):
        for raw in ({"prompt": text}, {text: "a fox"}, {"image_size": {text: 1}}, {"prompt": ["a fox", [text]]}):
            for model in MODELS.values():
                with pytest.raises(InvalidInput, match="NUL characters or lone surrogates"):
                    model.read(minimal_inputs(model) | raw)


def test_g8_any_other_text_is_taken_unchanged() -> None:
    model = find("flux-schnell")

    for text in ("a" * 20_000, "狐狸 🦊 שועל", "a\nb\tc", "e\u0301" * 10_000, "\u202efox", " "):
        assert model.arguments(model.read({"prompt": text}))["prompt"] == text
    assert not accepts(model, {"prompt": "a" * 20_001})


def test_an_error_does_not_repeat_the_value() -> None:
    """Errors are logged, and prompts must not be."""
    with pytest.raises(InvalidInput) as refusal:
        find("flux-schnell").read({"prompt": ["secret"], "num_images": "secret", "output_format": "secret"})

    assert "secret" not in f"{refusal.value} {refusal.value.errors}"
    assert {frozenset(error) for error in refusal.value.errors} == {frozenset({"loc", "msg", "type"})}


# --- Presets ---

PRESETS = [(model, name) for model in MODELS.values() for name in model.presets]


def test_a_preset_stands_for_its_inputs_and_explicit_inputs_override_it() -> None:
    for model, preset in PRESETS:
        inputs = minimal_inputs(model)
        assert model.read(inputs, preset=preset) == model.read(inputs | dict(model.presets[preset]))

        for name, chosen in model.presets[preset].items():
            other = next(value for value in examples(model, properties(model)[name]) if value != chosen)
            assert getattr(model.read(inputs | {name: other}, preset=preset), name) == other


def test_all_presets_of_a_model_set_the_same_inputs() -> None:
    """Otherwise switching from one preset to another would keep something of the first."""
    for model in MODELS.values():
        assert len({frozenset(inputs) for inputs in model.presets.values()}) <= 1, model.slug


def test_an_unknown_preset_is_refused_with_the_names_of_the_others() -> None:
    for model in MODELS.values():
        with pytest.raises(InvalidInput) as refusal:
            model.read(minimal_inputs(model), preset="nonsense")

        (error,) = refusal.value.errors
        assert error["loc"] == ["preset"]
        assert all(name in error["msg"] for name in model.presets or ["none for this model"])


# --- The JSON Schema ---


def test_the_schema_is_valid_and_closed() -> None:
    for model in MODELS.values():
        Draft202012Validator.check_schema(model.schema)

        assert model.schema["additionalProperties"] is False


def test_the_model_takes_every_value_that_its_schema_offers() -> None:
    for model in MODELS.values():
        schema, alternatives = Draft202012Validator(model.schema), set(model.inputs.exactly_one_of)
        for name in set(properties(model)) - alternatives - set(model.inputs.requires):
            for value in examples(model, properties(model)[name]):
                raw = minimal_inputs(model) | {name: value}
                assert (schema.is_valid(raw), accepts(model, raw)) == (True, True), (model.slug, name, value)


# A schema cannot express that 2.0 is not 2, which hosts are public, and which text can be stored.
ODD = [
    *(None, True, False, 0, 1, 4, 513, -1, 10**9, 2.5, "", "4", "png", "a fox"),
    *([], {}, ["png"], {"width": 512}, {"x": 1}),
]


@every_model
@given(data=st.data())
def test_schema_and_model_accept_the_same(model: Model, data: st.DataObject) -> None:
    values = {
        name: st.sampled_from(
            [value for value in ODD if not (schema.get("format") == "uri" and isinstance(value, str))]
            + examples(model, schema)
        )
        for name, schema in properties(model).items()
    }
    raw = data.draw(st.fixed_dictionaries({}, optional={**values, "unknown": st.just(1)}))
    if "multi_prompt" in raw:
        # Nor can it express that a video is as long as its shots.
        raw.pop("duration", None)

    assert Draft202012Validator(model.schema).is_valid(raw) is accepts(model, raw)


# --- Every combination of inputs ---


@pytest.mark.slow
@every_model
def test_d9_d11_every_order_has_a_price_and_files_that_are_paid_for(model: Model) -> None:
    for raw in all_inputs(model):
        inputs = model.read(raw)
        credits, files = model.credits(inputs), model.expected_files(inputs)
        assert type(credits) is int
        assert 0 < credits < 100_000
        assert len({file.role for file in files}) == len(files)
        assert {file.media_type for file in files} <= set(MEDIA_TYPE_OF.values())
        assert 1 <= model.paid_files_count(inputs) <= len(files)
        assert isinstance(model.answer_extras(inputs), dict)


def test_other_files_than_the_product_are_free() -> None:
    roles = ("", "mask_image", "images", "images[]", "images[0", "images[0].mask", "ximages[0]", "rendered_image")

    assert [role for role in roles if any(model.is_paid(role) for model in MODELS.values())] == []


def test_an_answer_may_have_files_only() -> None:
    assert Images().extras(None) == {}
