"""A declaration made from fal's own description: it imports, validates as the hand-written one, and can be ordered."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from credits.models import Account
from generations import lifecycle
from generations.catalogue import MODELS, InvalidInput, Model, find, imported, importing, registry
from generations.catalogue.importing import CannotDeclare, ListPrice
from generations.ordering.orders import Order
from generations.pages.fields import fields_of
from simulator import Simulator
from simulator.openapi_documents import document
from tests.fixtures.orders import alice as account
from tests.generations.catalogue.example_orders import examples, minimal, properties
from tests.helpers.background_work import Work
from tests.helpers.source import ROOT

__all__ = ["account"]
TODAY = date(2026, 11, 20)
FLAT = ListPrice(credits=7)


def fals(slug: str) -> dict[str, Any]:
    """fal's document of this model, as it comes over the wire."""
    found: dict[str, Any] = json.loads(json.dumps(document(find(slug))), parse_float=Decimal)
    return found


def declared(raw: dict[str, Any], *, endpoint: str = "fal-ai/some/model", price: ListPrice = FLAT) -> Model:
    """The model that the source declares, in a scratch module."""
    source = importing.declaration(raw, endpoint=endpoint, slug="imported", price=price, on=TODAY)
    namespace: dict[str, Any] = {"__name__": "scratch"}
    exec(compile(source, "<scratch>", "exec", dont_inherit=True), namespace)  # noqa: S102
    (model,) = (thing for thing in namespace.values() if isinstance(thing, Model))
    return model


def accepts(model: Model, wish: dict[str, Any]) -> bool:
    try:
        model.read(wish)
    except InvalidInput:
        return False
    return True


# --- What is written ---


@pytest.mark.once
@pytest.mark.parametrize("slug", MODELS)
def test_an_imported_model_takes_what_the_declared_one_takes(slug: str) -> None:
    ours, theirs = find(slug), declared(fals(slug))

    left_out = {name for name, schema in properties(ours).items() if "$ref" in json.dumps(schema.get("anyOf", []))}
    assert set(properties(theirs)) >= set(properties(ours)) - (left_out - {"image_size"})
    assert theirs.schema.get("required") == ours.schema.get("required")
    assert theirs.kind == ours.kind
    # fal's document does not tell what goes together.
    alone = set(properties(theirs)) - set(ours.inputs.exactly_one_of) - set(ours.inputs.requires)
    for name, schema in ((name, properties(ours)[name]) for name in alone):
        for value in [*examples(ours, schema), "nonsense", -1, 10**9]:
            wish = minimal(ours) | {name: value}
            # A size is read by our own class, whose bounds are narrower than some model's.
            assert accepts(theirs, wish) == accepts(ours, wish) or "image_size" in (name, *wish), (name, value)


@pytest.mark.once
@pytest.mark.parametrize("slug", MODELS)
def test_an_imported_model_expects_files_and_has_a_form(slug: str) -> None:
    model = declared(fals(slug))
    inputs = model.read(minimal(find(slug)))

    assert {file.role for file in find(slug).expected_files(find(slug).read(minimal(find(slug))))} >= {
        file.role for file in model.expected_files(inputs) if model.is_paid(file.role)
    }
    assert model.paid_files_count(inputs) == 1
    assert [field.key for field in fields_of(model)] == list(properties(model))


@pytest.mark.once
def test_what_is_written_needs_no_tidying(tmp_path: Path) -> None:
    """Whoever keeps an imported model keeps `make lint` clean."""
    for slug in MODELS:
        source = importing.declaration(fals(slug), endpoint=find(slug).endpoint, slug="imported", price=FLAT, on=TODAY)
        (tmp_path / f"{slug.replace('.', '_').replace('-', '_')}.py").write_text(source)

    for words in (["check"], ["format", "--check", "--diff"]):
        ruff = [sys.executable, "-m", "ruff", *words, "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
        found = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout


@pytest.mark.once
@pytest.mark.parametrize(
    "slug, dollars, unit, wish, credits",
    [
        ("flux-dev", "0.0251", "megapixels", {"num_images": 2}, 52),
        ("nano-banana", "0.039", "images", {"num_images": 3}, 117),
        ("wan-2.7", "0.1", "seconds", {"duration": 7}, 700),
        ("veo3.1", "0.4", "second", {"duration": "4s"}, 1600),
        ("eleven-v3", "0.1", "1000 characters", {"text": "a" * 30}, 3),
        ("tripo-v2.5", "0.3", "generations", {}, 300),
    ],
)
def test_fals_unit_becomes_the_formula(slug: str, dollars: str, unit: str, wish: dict[str, Any], credits: int) -> None:
    model = declared(fals(slug), price=ListPrice.of(Decimal(dollars), unit))

    assert model.credits(model.read(minimal(model) | wish)) == credits


@pytest.mark.once
@pytest.mark.parametrize(
    "slug, price, why",
    [
        ("clarity-upscaler", ListPrice(credits=30, unit="megapixels"), "does not say how many"),
        ("flux-dev", ListPrice(credits=30, unit="seconds"), "does not say how many"),
        ("birefnet-v2", ListPrice(credits=0, unit="compute seconds"), "asks nothing for it"),
    ],
)
def test_a_price_that_no_order_determines_is_refused(slug: str, price: ListPrice, why: str) -> None:
    with pytest.raises(CannotDeclare, match=why):
        declared(fals(slug), price=price)


# --- What comes from outside stays outside ---


def described(**inputs: Any) -> dict[str, Any]:
    """A document with these inputs, beside a prompt."""
    raw = fals("nano-banana")
    schemas = raw["components"]["schemas"]
    name = next(key for key in schemas if key.endswith("Input"))
    schemas[name] = {"properties": {"prompt": {"type": "string"}, **inputs}, "required": ["prompt"]}
    return raw


EVIL = "'''\"\"\"\n\\\nimport os; os.abort()\u2028"


@pytest.mark.once
def test_words_of_fal_are_text_and_never_code() -> None:
    raw = described(style={"type": "string", "default": EVIL, "description": EVIL}, tone={"enum": [EVIL]})
    raw["info"] = {"title": EVIL, "description": EVIL}

    model = declared(raw)

    assert properties(model)["style"]["default"] == EVIL
    assert "import os" in model.title


@pytest.mark.once
@pytest.mark.parametrize("name", ["x = 1; import os", "class", "_hidden", "model_dump", "schema", "Ä", "a" * 100])
def test_a_name_that_is_none_is_left_out_and_told(name: str) -> None:
    model = declared(described(**{name: {"type": "string"}}))

    assert list(properties(model)) == ["prompt"]
    assert any(name[:20] in line for line in model.unsure)


@pytest.mark.once
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "number"}},
        {"type": "object"},
        {"$ref": "#/components/schemas/Nowhere"},
        {"type": "string", "default": {"a": 1}},
        {"enum": [{"a": 1}]},
        {},
    ],
    ids=str,
)
def test_an_input_of_a_shape_that_no_form_has_is_left_out(schema: dict[str, Any]) -> None:
    assert list(properties(declared(described(odd=schema)))) == ["prompt"]


@pytest.mark.once
def test_a_document_that_must_go_in_is_refused() -> None:
    """Files are looked at before an order is taken; of this kind nobody knows how."""
    raw = described(pdf_url={"type": "string"})
    next(iter(raw["components"]["schemas"].values()))["required"] = ["prompt", "pdf_url"]

    with pytest.raises(CannotDeclare, match="'pdf_url' is required"):
        declared(raw)


@pytest.mark.once
@pytest.mark.parametrize("name, kind", [("first_image_url", "image"), ("audio_url", "audio"), ("video_url", "video")])
@pytest.mark.parametrize("required", [[], ["prompt"]])
def test_a_file_is_looked_at_as_what_its_name_says(name: str, kind: str, required: list[str]) -> None:
    raw = described(**{name: {"type": "string"}})
    next(iter(raw["components"]["schemas"].values()))["required"] = [*required, *([name] if required else [])]

    field = properties(declared(raw))[name]

    assert field["x-file"]["kind"] == kind
    assert ({"type": "null"} in field["anyOf"]) is not bool(required)


@pytest.mark.once
def test_sync_mode_never_gets_in() -> None:
    assert "sync_mode" not in properties(declared(described(sync_mode={"type": "boolean"})))


@pytest.mark.once
@pytest.mark.parametrize(
    "raw", [{}, {"paths": []}, {"paths": {"/x": {"post": {}}}}, {"paths": {"/x": 7}}], ids=range(4)
)
def test_a_document_that_says_nothing_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(CannotDeclare, match="does not say"):
        declared(raw)


@pytest.mark.once
def test_references_that_run_in_circles_are_refused() -> None:
    raw = described()
    for name in raw["components"]["schemas"]:
        raw["components"]["schemas"][name] = {"$ref": f"#/components/schemas/{name}"}

    with pytest.raises(CannotDeclare, match="circles"):
        declared(raw)


@pytest.mark.once
@pytest.mark.parametrize("endpoint", ["", "fal-ai", 'fal-ai/"; x', "../etc", "fal-ai/a b"])
def test_an_endpoint_that_is_no_name_is_refused(endpoint: str) -> None:
    with pytest.raises(CannotDeclare, match="characters that no name has"):
        declared(fals("flux-dev"), endpoint=endpoint)


# --- The command ---


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("import_model", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where imported models lie, for this test alone."""
    monkeypatch.setattr(imported, "__path__", [str(tmp_path)])
    yield tmp_path
    invalidate_caches()


@pytest.mark.once
def test_without_write_it_is_printed(fal: Simulator) -> None:
    printed = run("fal-ai/flux/dev", "--slug", "flux-again")

    assert 'slug="flux-again"' in printed
    assert "price=per_megapixel(25)" in printed
    assert "imported on" in printed


@pytest.mark.once
@pytest.mark.parametrize(
    "words, why",
    [
        (["fal-ai/nobody-knows"], "fal knows no endpoint"),
        (["fal-ai/flux/dev"], "on offer already, as flux-dev"),
        (["fal-ai/flux/dev", "--slug", "veo3.1"], "There is a model “veo3.1” already"),
        (["fal-ai/clarity-upscaler", "--slug", "bigger"], "Give --credits"),
        (["fal-ai/flux/dev", "--slug", "Flux Again!"], "Give a --slug of a to z"),
    ],
)
def test_what_cannot_be_imported_is_said(fal: Simulator, words: list[str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        run(*words)


@pytest.mark.once
def test_a_written_model_is_found_and_is_not_written_twice(fal: Simulator, folder: Path) -> None:
    run("tripo3d/h3.1/image-to-3d", "--slug", "my-mesh.2", "--write")

    assert registry.collect()["my-mesh.2"].endpoint == "tripo3d/h3.1/image-to-3d"
    for place, why in ((folder, "is there already"), (folder / "nowhere", "cannot be written")):
        with pytest.raises(CommandError, match=why):
            run("tripo3d/h3.1/image-to-3d", "--slug", "my-mesh.2", "--write", "--folder", str(place))


@pytest.mark.django_db(transaction=True)
def test_a_written_model_can_be_ordered(
    fal: Simulator, folder: Path, account: Account, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("fal-ai/flux/schnell", "--slug", "my-flux", "--write")
    model = import_module("generations.catalogue.imported.my_flux").MY_FLUX
    monkeypatch.setattr(registry, "MODELS", {**MODELS, model.slug: model})
    asked = {"prompt": "a cat", "image_size": {"width": 256, "height": 256}}

    wish = Order(model=model, inputs=model.read(asked), raw_input=asked)
    generation = work.to_the_end(lifecycle.order(account, wish, actor="test")[0])

    assert (generation.status, generation.captured) == ("completed", 3)
