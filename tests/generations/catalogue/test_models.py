"""Every model on offer, by the same rules."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from generations.catalogue import MODELS, InvalidInput, Model, UnknownModel, find, find_by_endpoint, image, registry
from generations.catalogue.outputs import MEDIA_TYPE_OF, Images
from tests.generations.catalogue.example_orders import every_wish, examples, minimal, properties

pytestmark = pytest.mark.once

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def accepts(model: Model, raw: Any) -> bool:
    try:
        model.read(raw)
    except InvalidInput:
        return False
    return True


# --- The catalogue ---


@every_model
def test_a_model_is_found_by_its_name_and_by_fals(model: Model) -> None:
    assert find(model.slug) is model
    assert find_by_endpoint(model.endpoint) is model


def test_what_is_not_on_offer_is_not_found() -> None:
    with pytest.raises(UnknownModel, match=r"There is no model “dall-e”\. Models: .*flux-schnell"):
        find("dall-e")

    assert find_by_endpoint("fal-ai/dall-e") is None


def test_two_models_do_not_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = dataclasses.replace(image.FLUX_SCHNELL, endpoint="fal-ai/twin")
    monkeypatch.setattr(image, "TWIN", twin, raising=False)

    with pytest.raises(RuntimeError, match="share a slug"):
        registry.collect()


@every_model
def test_a_model_waits_longer_than_fal_takes(model: Model) -> None:
    assert 0 < model.typical_seconds < model.start_timeout_seconds < model.deadline_seconds


# --- Inputs ---


@every_model
def test_a_model_needs_little(model: Model) -> None:
    inputs = model.read(minimal(model))

    assert model.arguments(inputs).items() >= minimal(model).items()


@every_model
def test_fal_is_sent_every_default(model: Model) -> None:
    """The price that was quoted is that of the job which fal does."""
    declared = {name: s["default"] for name, s in properties(model).items() if s.get("default") is not None}

    assert model.arguments(model.read(minimal(model))) == declared | minimal(model)


@every_model
@pytest.mark.parametrize(
    "name", ["sync_mode", "webhook_url", "fal_webhook", "Prompt", "seed ", "__class__", "", "num_image"]
)
def test_an_unknown_input_is_refused_by_name(model: Model, name: str) -> None:
    """B17: `sync_mode` would put the file into the answer."""
    with pytest.raises(InvalidInput) as refusal:
        model.read(minimal(model) | {name: True})

    assert [(error["loc"], error["type"]) for error in refusal.value.errors] == [([name], "extra_forbidden")]


@every_model
def test_what_is_missing_is_named(model: Model) -> None:
    with pytest.raises(InvalidInput) as refusal:
        model.read({})

    # Where one of several will do, that is told when nothing else is wrong.
    required = model.schema.get("required", [])
    assert {(error["loc"][0], error["type"]) for error in refusal.value.errors} == (
        {(name, "missing") for name in required} or {(model.inputs.exactly_one_of[0], "misfit")}
    )


@every_model
@pytest.mark.parametrize("raw", [None, [], "a fox", 5, [["prompt", "a fox"]], {1: 2}, {None: "x"}, b"{}"], ids=repr)
def test_what_is_no_order_is_refused(model: Model, raw: Any) -> None:
    assert not accepts(model, raw)


WRONG: dict[str, list[Any]] = {
    "integer": ["4", 4.0, 4.5, True, [4], 10**30, -(10**30)],
    "number": ["3.5", True, [3.5], float("nan"), float("inf"), -1e300, 10**400],
    "boolean": ["true", "false", 1, 0, "", [True]],
    "string": [4, True, ["a fox"], {"text": "a fox"}, b"a fox", ""],
    "enum": [4, 4.0, True, None, "nonsense", "", ["png"]],
    "array": ["a fox", {}, True, [True], [["a fox"]], []],
}


def _kinds(schema: dict[str, Any]) -> set[str]:
    parts = schema.get("anyOf", [schema])
    return {"enum" if "enum" in part else part.get("type", "object") for part in parts}


# Of those that take a word or an object, the object is looked at below.
STRICT = [
    pytest.param(model, name, wrong, id=f"{slug}-{name}-{wrong!r:.20}")
    for slug, model in MODELS.items()
    for name, schema in properties(model).items()
    for kind in _kinds(schema) - {"null", "object"}
    for wrong in WRONG[kind]
    if not (wrong == "" and properties(model)[name].get("minLength") is None and kind == "string" and "url" not in name)
]


@pytest.mark.parametrize("model, name, wrong", STRICT)
def test_nothing_is_guessed(model: Model, name: str, wrong: Any) -> None:
    """“4” is not 4, and neither is 4.0; true is not 1."""
    assert not accepts(model, minimal(model) | {name: wrong})


@pytest.mark.parametrize(
    "size", [{"width": "512"}, {"width": 512.0}, {"width": 100}, {"height": 513}, {"depth": 8}, [], 5]
)
def test_a_free_size_is_as_strict(size: Any) -> None:
    assert not accepts(find("flux-schnell"), {"prompt": "a fox", "image_size": size})


@pytest.mark.parametrize("text", ["a\0fox", "\ud800", "fox\udfff", "\udc00\ud800"], ids=ascii)
@every_model
def test_a_text_that_could_not_be_stored_is_refused(model: Model, text: str) -> None:
    """B25."""
    for raw in ({"prompt": text}, {text: "a fox"}, {"image_size": {text: 1}}, {"prompt": ["a fox", [text]]}):
        with pytest.raises(InvalidInput, match="NUL characters or lone surrogates"):
            model.read(minimal(model) | raw)


@pytest.mark.parametrize(
    "text", ["a" * 20_000, "狐狸 🦊 שועל", "a\nb\tc", "e\u0301" * 10_000, "\u202efox", " "], ids=ascii
)
def test_any_other_text_is_taken_as_it_is(text: str) -> None:
    """G8."""
    model = find("flux-schnell")

    assert model.arguments(model.read({"prompt": text}))["prompt"] == text


def test_an_endless_text_is_refused() -> None:
    assert not accepts(find("flux-schnell"), {"prompt": "a" * 20_001})


def test_an_error_does_not_repeat_the_text() -> None:
    """Errors are logged, prompts are not."""
    with pytest.raises(InvalidInput) as refusal:
        find("flux-schnell").read({"prompt": ["secret"], "num_images": "secret", "output_format": "secret"})

    assert "secret" not in f"{refusal.value} {refusal.value.errors}"
    assert {frozenset(error) for error in refusal.value.errors} == {frozenset({"loc", "msg", "type"})}


# --- Presets ---

PRESETS = [pytest.param(model, name, id=f"{model.slug}-{name}") for model in MODELS.values() for name in model.presets]


@pytest.mark.parametrize("model, preset", PRESETS)
def test_a_preset_stands_for_its_inputs(model: Model, preset: str) -> None:
    assert model.read(minimal(model), preset=preset) == model.read(minimal(model) | dict(model.presets[preset]))


@pytest.mark.parametrize("model, preset", PRESETS)
def test_what_is_said_outright_wins_over_a_preset(model: Model, preset: str) -> None:
    for name, chosen in model.presets[preset].items():
        other = next(value for value in examples(model, properties(model)[name]) if value != chosen)

        assert getattr(model.read(minimal(model) | {name: other}, preset=preset), name) == other


@every_model
def test_the_presets_of_a_model_speak_of_the_same_inputs(model: Model) -> None:
    """Else one that is tried after another would keep something of it."""
    assert len({frozenset(inputs) for inputs in model.presets.values()}) <= 1


@every_model
def test_an_unknown_preset_is_refused_with_what_there_is(model: Model) -> None:
    with pytest.raises(InvalidInput) as refusal:
        model.read(minimal(model), preset="nonsense")

    (error,) = refusal.value.errors
    assert error["loc"] == ["preset"]
    assert all(name in error["msg"] for name in model.presets or ["none for this model"])


# --- The JSON Schema ---


@every_model
def test_the_schema_is_one(model: Model) -> None:
    Draft202012Validator.check_schema(model.schema)

    assert model.schema["additionalProperties"] is False
    assert "sync_mode" not in model.schema["properties"]


@every_model
def test_whatever_the_schema_offers_the_model_takes(model: Model) -> None:
    schema = Draft202012Validator(model.schema)

    for wish in every_wish(model):
        assert schema.is_valid(wish)
        model.read(wish)


# What a schema cannot say: that 2.0 is not 2, which hosts are public, and that a text can be stored.
ODD = [
    None,
    True,
    False,
    0,
    1,
    4,
    513,
    -1,
    10**9,
    2.5,
    "",
    "4",
    "png",
    "a fox",
    [],
    {},
    ["png"],
    {"width": 512},
    {"x": 1},
]


@every_model
@given(data=st.data())
def test_schema_and_model_refuse_the_same(model: Model, data: st.DataObject) -> None:
    odd = {
        name: st.sampled_from(
            [value for value in ODD if not (schema.get("format") == "uri" and isinstance(value, str))]
            + examples(model, schema)
        )
        for name, schema in properties(model).items()
    }
    wish = data.draw(st.fixed_dictionaries({}, optional={**odd, "unknown": st.just(1)}))
    if "multi_prompt" in wish:
        # What no schema can say either: that a video is as long as its shots.
        wish.pop("duration", None)

    assert Draft202012Validator(model.schema).is_valid(wish) is accepts(model, wish)


# --- Answers ---


@every_model
def test_every_order_is_answered_with_files_that_are_paid_for(model: Model) -> None:
    for wish in every_wish(model):
        inputs = model.read(wish)
        files = model.expected_files(inputs)

        assert len({file.role for file in files}) == len(files)
        assert {file.media_type for file in files} <= set(MEDIA_TYPE_OF.values())
        assert 1 <= model.paid_files_count(inputs) <= len(files)
        assert isinstance(model.answer_extras(inputs), dict)


@pytest.mark.parametrize(
    "role", ["", "mask_image", "images", "images[]", "images[0", "images[0].mask", "ximages[0]", "rendered_image"]
)
def test_what_comes_along_is_not_paid_for(role: str) -> None:
    assert not any(model.is_paid(role) for model in MODELS.values())


def test_an_answer_may_hold_nothing_beside_its_files() -> None:
    assert Images().extras(None) == {}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_says_which_of_its_inputs_makes_the_result_the_same(model: Model) -> None:
    seeds = [name for name in model.inputs.model_fields if name.endswith("seed") and name != "texture_seed"]

    assert seeds in ([], [model.seed])
