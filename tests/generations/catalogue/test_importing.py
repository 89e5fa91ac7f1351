"""A declaration written from fal's OpenAPI document behaves as the hand-written one, and contains no foreign code."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from generations.catalogue import MODELS, InvalidInput, Model, find, importing
from generations.catalogue.importing import CannotDeclare, ListPrice
from generations.pages.fields import fields_of
from simulator.openapi_documents import document
from tests.generations.catalogue.example_orders import examples, minimal_inputs, properties
from tests.helpers.source import ROOT

pytestmark = pytest.mark.once
TODAY = date(2026, 11, 20)
FLAT = ListPrice(credits=7)


def document_of(slug: str) -> dict[str, Any]:
    """fal's document of this model, decoded as the client does it."""
    found: dict[str, Any] = json.loads(json.dumps(document(find(slug))), parse_float=Decimal)
    return found


def declared(raw: dict[str, Any], *, endpoint: str = "fal-ai/some/model", price: ListPrice = FLAT) -> Model:
    """The model that the written source declares."""
    source = importing.declaration(raw, endpoint=endpoint, slug="imported", price=price, on=TODAY)
    namespace: dict[str, Any] = {"__name__": "imported"}
    exec(compile(source, "<imported>", "exec", dont_inherit=True), namespace)  # noqa: S102
    (model,) = (value for value in namespace.values() if isinstance(value, Model))
    return model


def accepts(model: Model, raw: dict[str, Any]) -> bool:
    try:
        model.read(raw)
    except InvalidInput:
        return False
    return True


# --- What is written ---


@pytest.mark.parametrize("slug", MODELS)
def test_an_imported_model_accepts_the_same_inputs(slug: str) -> None:
    by_hand, imported = find(slug), declared(document_of(slug))
    inputs = by_hand.inputs

    nested = {name for name, schema in properties(by_hand).items() if "$ref" in json.dumps(schema.get("anyOf", []))}
    assert set(properties(imported)) >= set(properties(by_hand)) - (nested - {"image_size"})
    assert imported.schema.get("required") == by_hand.schema.get("required")
    # fal's document does not say which inputs exclude or require each other.
    for name in set(properties(imported)) - set(inputs.exactly_one_of) - set(inputs.requires):
        for value in [*examples(by_hand, properties(by_hand)[name]), "nonsense", -1, 10**9]:
            raw = minimal_inputs(by_hand) | {name: value}
            # An imported size is a CustomSize, whose bounds are narrower than those of some models.
            assert "image_size" in (name, *raw) or accepts(imported, raw) == accepts(by_hand, raw), (name, value)


@pytest.mark.parametrize("slug", MODELS)
def test_an_imported_model_has_the_same_kind_its_files_and_a_form(slug: str) -> None:
    by_hand, imported = find(slug), declared(document_of(slug))
    inputs = imported.read(minimal_inputs(by_hand))

    expected = {file.role for file in by_hand.expected_files(by_hand.read(minimal_inputs(by_hand)))}
    assert expected >= {file.role for file in imported.expected_files(inputs) if imported.is_paid(file.role)}
    assert imported.paid_files_count(inputs) == 1
    assert imported.kind == by_hand.kind
    assert [field.key for field in fields_of(imported)] == list(properties(imported))


@pytest.mark.slow
@pytest.mark.slow
def test_the_source_passes_lint_and_is_formatted(tmp_path: Path) -> None:
    for slug, model in MODELS.items():
        source = importing.declaration(
            document_of(slug), endpoint=model.endpoint, slug="imported", price=FLAT, on=TODAY
        )
        (tmp_path / f"{slug.replace('.', '_').replace('-', '_')}.py").write_text(source)

    for words in (["check"], ["format", "--check", "--diff"]):
        ruff = [sys.executable, "-m", "ruff", *words, "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
        found = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout


# --- Prices ---


def test_the_price_follows_from_fals_unit() -> None:
    expected: list[tuple[str, str, str, dict[str, Any], int]] = [
        ("flux-dev", "0.0251", "megapixels", {"num_images": 2}, 52),
        ("nano-banana", "0.039", "images", {"num_images": 3}, 117),
        ("wan-2.7", "0.1", "seconds", {"duration": 7}, 700),
        ("veo3.1", "0.4", "second", {"duration": "4s"}, 1600),
        ("eleven-v3", "0.1", "1000 characters", {"text": "a" * 30}, 3),
        ("tripo-v2.5", "0.3", "generations", {}, 300),
    ]

    for slug, dollars, unit, inputs, credits in expected:
        model = declared(document_of(slug), price=ListPrice.of(Decimal(dollars), unit))
        assert model.credits(model.read(minimal_inputs(model) | inputs)) == credits, slug


def test_a_price_that_does_not_follow_from_the_inputs_is_refused() -> None:
    refused = [
        ("clarity-upscaler", ListPrice(credits=30, unit="megapixels"), "do not say how many"),
        ("flux-dev", ListPrice(credits=30, unit="seconds"), "do not say how many"),
        ("birefnet-v2", ListPrice(credits=0, unit="compute seconds"), "list price is 0"),
    ]

    for slug, price, message in refused:
        with pytest.raises(CannotDeclare, match=message):
            declared(document_of(slug), price=price)


# --- The content of the document ---


def described(**inputs: Any) -> dict[str, Any]:
    """A document with these inputs and a required prompt."""
    raw = document_of("nano-banana")
    schemas = raw["components"]["schemas"]
    name = next(key for key in schemas if key.endswith("Input"))
    schemas[name] = {"properties": {"prompt": {"type": "string"}, **inputs}, "required": ["prompt"]}
    return raw


def requiring(*names: str, **inputs: Any) -> dict[str, Any]:
    """A document with these inputs, of which the named ones are required."""
    raw = described(**inputs)
    next(iter(raw["components"]["schemas"].values()))["required"] = list(names)
    return raw


EVIL = "'''\"\"\"\n\\\nimport os; os.abort()\u2028"


def test_text_of_the_document_never_becomes_code() -> None:
    raw = described(style={"type": "string", "default": EVIL, "description": EVIL}, tone={"enum": [EVIL]})
    raw["info"] = {"title": EVIL, "description": EVIL}

    model = declared(raw)

    assert properties(model)["style"]["default"] == EVIL
    assert "import os" in model.title


def test_inputs_with_unusable_names_are_left_out_and_listed() -> None:
    for name in ("x = 1; import os", "class", "_hidden", "model_dump", "schema", "Ä", "a" * 100):
        model = declared(described(**{name: {"type": "string"}}))

        assert list(properties(model)) == ["prompt"]
        assert any(name[:20] in line for line in model.unsure)


def test_inputs_of_types_that_no_form_shows_are_left_out() -> None:
    schemas: list[dict[str, Any]] = [
        {"type": "array", "items": {"type": "number"}},
        {"type": "object"},
        {"$ref": "#/components/schemas/Nowhere"},
        {"type": "string", "default": {"a": 1}},
        {"enum": [{"a": 1}]},
        {},
    ]

    assert [list(properties(declared(described(odd=schema)))) for schema in schemas] == [["prompt"]] * len(schemas)


def test_a_required_input_that_cannot_be_declared_is_refused() -> None:
    """Limn inspects input files before it takes an order, and cannot inspect a PDF."""
    with pytest.raises(CannotDeclare, match="required input 'pdf_url'"):
        declared(requiring("prompt", "pdf_url", pdf_url={"type": "string"}))


def test_the_kind_of_a_file_follows_from_the_name_of_its_input() -> None:
    for name, kind in (("first_image_url", "image"), ("audio_url", "audio"), ("video_url", "video")):
        for required in ([], ["prompt", name]):
            field = properties(declared(requiring(*required, **{name: {"type": "string"}})))[name]

            assert field["x-file"]["kind"] == kind
            assert ({"type": "null"} in field["anyOf"]) is not bool(required)


def test_sync_mode_is_never_offered() -> None:
    assert "sync_mode" not in properties(declared(described(sync_mode={"type": "boolean"})))


def test_a_document_without_inputs_is_refused() -> None:
    documents: list[dict[str, Any]] = [{}, {"paths": []}, {"paths": {"/x": {"post": {}}}}, {"paths": {"/x": 7}}]

    for raw in documents:
        with pytest.raises(CannotDeclare, match="does not say what inputs"):
            declared(raw)


def test_circular_references_are_refused() -> None:
    raw = described()
    for name in raw["components"]["schemas"]:
        raw["components"]["schemas"][name] = {"$ref": f"#/components/schemas/{name}"}

    with pytest.raises(CannotDeclare, match="circular"):
        declared(raw)


def test_a_malformed_endpoint_is_refused() -> None:
    for endpoint in ("", "fal-ai", 'fal-ai/"; x', "../etc", "fal-ai/a b"):
        with pytest.raises(CannotDeclare, match="characters that are not allowed"):
            declared(document_of("flux-dev"), endpoint=endpoint)
