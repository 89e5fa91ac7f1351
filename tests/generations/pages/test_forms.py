"""Forms derived from the schemas of the catalogue: every model's form can be filled in and read back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import QueryDict

from generations.catalogue import MODELS, InvalidInput, find
from generations.pages import fields, forms
from generations.pages.fields import fields_of
from generations.pages.forms import BoundField, OrderForm

pytestmark = pytest.mark.once

CAT = "https://example.com/cat.png"
UPLOAD = "01890a5d-ac96-774b-bcce-b302099a8057"
FILLED_IN = {
    "prompt": "a cat on the moon",
    "text": "hello",
    "image_url": CAT,
    "start_image_url": CAT,
    "image_urls": CAT,
}
# The same as input values: a field with one URL per line means a list.
VALUES: dict[str, Any] = {**FILLED_IN, "image_urls": [CAT]}


def typed(slug: str, **changes: str) -> dict[str, str]:
    """What a browser sends for an untouched form in which only the required fields are filled in."""
    sent: dict[str, str] = {}
    for bound in OrderForm(model=find(slug), values=forms.default_values(find(slug))):
        for leaf in leaves(bound):
            text = untouched(leaf)
            sent |= {} if text is None else {leaf.field.name: text}
    return {**sent, **{name: FILLED_IN[name] for name in find(slug).required_inputs()}, **changes}


def leaves(bound: BoundField) -> Iterator[BoundField]:
    for item in bound.items:
        yield from item
    if not bound.items:
        yield bound


def untouched(bound: BoundField) -> str | None:
    """The text that a browser sends for this field, or None if it sends nothing."""
    if bound.field.widget == "checkbox":
        return "on" if bound.value else None
    if bound.field.widget == "select":
        return next(value for value, _, selected in bound.options if selected)
    if bound.field.widget == "lines":
        return bound.lines
    return "" if bound.value is None else str(bound.value)


def rejected_inputs(slug: str, form: dict[str, str]) -> list[Any]:
    """The names of the inputs that the model rejects in this form."""
    try:
        find(slug).read(forms.read(find(slug), form))
    except InvalidInput as error:
        return [each["loc"][0] for each in error.errors]
    return []


def test_an_untouched_form_of_every_model_means_the_defaults() -> None:
    for slug, model in MODELS.items():
        required = {name: VALUES[name] for name in model.required_inputs()}

        assert model.read(forms.read(model, typed(slug))) == model.read(required), slug


def test_every_input_of_every_model_has_a_field() -> None:
    for model in MODELS.values():
        assert [field.key for field in fields_of(model)] == list(model.schema["properties"]), model.slug


def test_a_text_in_a_number_field_is_rejected_at_that_field_for_every_model() -> None:
    numbers = [(slug, field.name) for slug in MODELS for field in fields_of(MODELS[slug]) if field.widget == "number"]

    rejected = {(slug, name): rejected_inputs(slug, typed(slug, **{name: "a few"})) for slug, name in numbers}

    assert numbers
    assert rejected == {(slug, name): [name] for slug, name in numbers}


@pytest.mark.parametrize("slug", MODELS)
def test_every_offered_choice_can_be_ordered(slug: str) -> None:
    model = find(slug)

    for field in fields_of(model):
        for choice in field.choices:
            values = forms.read(model, typed(slug, **{field.name: str(choice)}))

            assert values[field.name] == choice
            assert model.credits(model.read(values)) > 0


def test_a_whole_number_consists_of_digits_only() -> None:
    meanings = {"4": 4, " 4 ": 4, "-1": -1, "4.0": "4.0", "1e3": "1e3", "٤": "٤", "9" * 21: "9" * 21, "": None}

    read = {text: forms.read(find("flux-schnell"), {"num_images": text}).get("num_images") for text in meanings}

    assert read == meanings


def test_a_number_may_have_a_decimal_point() -> None:
    meanings = {"3.5": 3.5, "4": 4, ".5": 0.5, "3,5": "3,5", "nan": "nan"}

    read = {text: forms.read(find("flux-schnell"), {"guidance_scale": text})["guidance_scale"] for text in meanings}

    assert read == meanings


def test_a_line_break_is_the_same_from_a_browser_as_from_the_api() -> None:
    assert forms.read(find("flux-schnell"), {"prompt": "a\r\nb"})["prompt"] == "a\nb"


def test_a_name_without_a_field_is_ignored() -> None:
    assert "sync_mode" not in forms.read(find("flux-schnell"), {"prompt": "a", "sync_mode": "on"})


def test_an_unticked_checkbox_means_false() -> None:
    assert forms.read(find("flux-schnell"), {"prompt": "a"})["enable_safety_checker"] is False


def test_choices_have_readable_labels() -> None:
    form = OrderForm(model=find("flux-schnell"), values={})
    sizes = next(bound for bound in form if bound.field.name == "image_size")

    assert ("landscape_4_3", "Landscape 4:3", True) in sizes.options
    assert ("square_hd", "Square HD", False) in sizes.options


def test_a_preset_is_recognised_by_its_inputs() -> None:
    model = find("tripo-v2.5")

    assert OrderForm(model=model, values={**forms.default_values(model), **model.presets["high"]}).preset == "high"
    assert OrderForm(model=model, values=forms.default_values(model)).preset == ""


def test_an_input_without_a_suitable_widget_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="no form field"):
        fields.widget_of({"type": "object"}, None)


def test_images_can_be_stored_files_or_urls_or_both() -> None:
    form = QueryDict(mutable=True)
    form.setlist("image_urls-kept", [f"upload:{UPLOAD}", "upload:nonsense"])
    form["image_urls"] = f" {CAT} \r\n\r\n"

    assert forms.read(find("flux-2-edit"), form)["image_urls"] == [{"upload": UPLOAD}, "upload:nonsense", CAT]
    assert forms.read(find("flux-2-edit"), {"image_urls": " "}).get("image_urls") is None


def test_a_url_replaces_the_stored_file_of_a_field_for_one_image() -> None:
    form = {"image_url": CAT, "image_url-kept": f"upload:{UPLOAD}"}

    assert forms.read(find("tripo-v2.5"), form)["image_url"] == CAT
