"""Forms made from the catalogue's schemas: whatever model is declared, its form can be filled in and read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import QueryDict

from generations.catalogue import MODELS, InvalidInput, find
from generations.pages import fields, forms
from generations.pages.fields import fields_of
from generations.pages.forms import Form, Shown

pytestmark = pytest.mark.once

CAT = "https://example.com/cat.png"
FILLED_IN = {
    "prompt": "a cat on the moon",
    "text": "hello",
    "image_url": CAT,
    "start_image_url": CAT,
    "image_urls": CAT,
}
# What is typed line by line is meant as a list.
MEANT: dict[str, Any] = {**FILLED_IN, "image_urls": [CAT]}


def typed(slug: str, **changes: str) -> dict[str, str]:
    """What a browser sends for an untouched form with the required fields filled in."""
    sent: dict[str, str] = {}
    for shown in Form(model=find(slug), values=forms.defaults(find(slug))):
        for each in leaves(shown):
            sent |= {each.field.name: said} if (said := untouched(each)) is not None else {}
    return {**sent, **{name: FILLED_IN[name] for name in find(slug).required_inputs()}, **changes}


def leaves(shown: Shown) -> Iterator[Shown]:
    """The fields that can be filled in; of a group those of its items."""
    for item in shown.items:
        yield from item
    if not shown.items:
        yield shown


def untouched(shown: Shown) -> str | None:
    if shown.field.widget == "checkbox":
        return "on" if shown.value else None
    if shown.field.widget == "select":
        return next(value for value, _, chosen in shown.options if chosen)
    if shown.field.widget == "lines":
        return shown.lines
    return "" if shown.value is None else str(shown.value)


@pytest.mark.parametrize("slug", MODELS)
def test_an_untouched_form_means_the_models_defaults(slug: str) -> None:
    model = find(slug)
    required = {name: MEANT[name] for name in model.required_inputs()}

    assert model.read(forms.read(model, typed(slug))) == model.read(required)


@pytest.mark.parametrize("slug", MODELS)
def test_every_input_has_a_field(slug: str) -> None:
    assert [field.key for field in fields_of(find(slug))] == list(find(slug).schema["properties"])


@pytest.mark.parametrize(
    "slug, name",
    [(slug, field.name) for slug in MODELS for field in fields_of(MODELS[slug]) if field.widget == "number"],
)
def test_what_is_no_number_is_refused_beside_its_field(slug: str, name: str) -> None:
    model = find(slug)

    with pytest.raises(InvalidInput) as refused:
        model.read(forms.read(model, typed(slug, **{name: "a few"})))

    assert [error["loc"][0] for error in refused.value.errors] == [name]


@pytest.mark.parametrize(
    "slug, name, choice",
    [(slug, field.name, choice) for slug in MODELS for field in fields_of(MODELS[slug]) for choice in field.choices],
)
def test_every_choice_on_offer_can_be_ordered(slug: str, name: str, choice: Any) -> None:
    model = find(slug)

    assert forms.read(model, typed(slug, **{name: str(choice)}))[name] == choice
    assert model.credits(model.read(forms.read(model, typed(slug, **{name: str(choice)})))) > 0


@pytest.mark.parametrize(
    "text, meaning",
    [("4", 4), (" 4 ", 4), ("-1", -1), ("4.0", "4.0"), ("1e3", "1e3"), ("٤", "٤"), ("9" * 21, "9" * 21), ("", None)],
)
def test_a_whole_number_is_digits_and_nothing_else(text: str, meaning: Any) -> None:
    assert forms.read(find("flux-schnell"), {"num_images": text}).get("num_images") == meaning


@pytest.mark.parametrize("text, meaning", [("3.5", 3.5), ("4", 4), (".5", 0.5), ("3,5", "3,5"), ("nan", "nan")])
def test_a_number_may_have_a_point(text: str, meaning: Any) -> None:
    assert forms.read(find("flux-schnell"), {"guidance_scale": text})["guidance_scale"] == meaning


def test_a_line_break_is_the_same_from_a_browser_as_from_the_api() -> None:
    assert forms.read(find("flux-schnell"), {"prompt": "a\r\nb"})["prompt"] == "a\nb"


def test_what_the_form_does_not_ask_is_not_read() -> None:
    assert "sync_mode" not in forms.read(find("flux-schnell"), {"prompt": "a", "sync_mode": "on"})


def test_an_unticked_box_is_a_no() -> None:
    assert forms.read(find("flux-schnell"), {"prompt": "a"})["enable_safety_checker"] is False


def test_sizes_are_offered_in_words() -> None:
    sizes = next(shown for shown in Form(model=find("flux-schnell"), values={}) if shown.field.name == "image_size")

    assert ("landscape_4_3", "Landscape 4:3", True) in sizes.options
    assert ("square_hd", "Square HD", False) in sizes.options


def test_a_preset_is_recognised_by_its_inputs() -> None:
    model = find("tripo-v2.5")

    assert Form(model=model, values={**forms.defaults(model), **model.presets["high"]}).preset == "high"
    assert Form(model=model, values=forms.defaults(model)).preset == ""


def test_an_input_that_no_widget_fits_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError, match="no form field"):
        fields._widget({"type": "object"}, None)


def test_pictures_are_kept_named_by_address_or_both() -> None:
    kept = {"upload": "01890a5d-ac96-774b-bcce-b302099a8057"}
    form = QueryDict(mutable=True)
    form.setlist("image_urls-kept", [f"upload:{kept['upload']}", "upload:nonsense"])
    form["image_urls"] = f" {CAT} \r\n\r\n"

    assert forms.read(find("flux-2-edit"), form)["image_urls"] == [kept, "upload:nonsense", CAT]
    assert forms.read(find("flux-2-edit"), {"image_urls": " "}).get("image_urls") is None


def test_where_there_is_room_for_one_picture_an_address_wins_over_what_was_kept() -> None:
    form = {"image_url": CAT, "image_url-kept": "upload:01890a5d-ac96-774b-bcce-b302099a8057"}

    assert forms.read(find("tripo-v2.5"), form)["image_url"] == CAT
