"""A model's form, made from its JSON Schema: which fields it has, and what the typed strings mean.

Nothing is judged here. A string that is no number stays a string, and the catalogue refuses it in its own words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from generations.catalogue import Model
from generations.catalogue.fields import Picture, Reference, is_reference

Widget = Literal["text", "textarea", "image", "images", "select", "checkbox", "number"]
Schema = Mapping[str, Any]

# A free text that may be longer than this deserves more than one line.
ONE_LINE_CHARACTERS_MAX = 250
# Beyond this many digits it is no number that any model takes, and int() would be slow.
DIGITS_MAX = 20
ABBREVIATIONS = {"hd", "jpeg", "png", "webp"}
LABEL_WORDS = {"num": "number of", "url": "address", "urls": "addresses", "pbr": "PBR"}
# The catalogue's words are for programmers; these few errors everybody makes.
MESSAGES = {"missing": "Please fill this in.", "string_too_short": "Please fill this in."}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input of a model, as a person meets it."""

    name: str
    label: str
    help: str
    widget: Widget
    required: bool
    default: Any = None
    integral: bool = False
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    length_max: int | None = None

    @property
    def takes_pictures(self) -> bool:
        return self.widget in {"image", "images"}

    @property
    def file_name(self) -> str:
        """Under which a form sends pictures from the device."""
        return f"{self.name}-file"

    @property
    def file_label(self) -> str:
        return re.sub(r" address(es)?$", lambda found: "s" if found[1] else "", self.label)

    @property
    def kept_name(self) -> str:
        """Under which a form names files that lie with us: "upload:<id>", "output:<id>"."""
        return f"{self.name}-kept"

    def read_pictures(self, typed: Mapping[str, Any]) -> Any:
        """The pictures that were kept and those named by address. None when there are none."""
        kept = [_reference(text) for text in _all(typed, self.kept_name)]
        addresses = [line.strip() for text in _all(typed, self.name) for line in text.splitlines() if line.strip()]
        if self.widget == "images":
            return [*kept, *addresses] or None
        return next(iter([*addresses, *kept]), None)

    def with_pictures(self, value: Any, more: Sequence[Picture]) -> Any:
        """The value with these as well; where there is room for one, the last of them."""
        return [*(value or ()), *more] if self.widget == "images" else more[-1]

    def read(self, text: str | None) -> Any:
        """What was typed, typed. None when it was left empty."""
        if self.widget == "checkbox":
            return text is not None
        if text is None or not text.strip():
            return None
        if self.widget == "select":
            return {str(choice): choice for choice in self.choices}.get(text, text)
        if self.widget == "number":
            return _number(text.strip(), integral=self.integral)
        # Browsers send \r\n for a line break; through the API the same prompt has \n.
        return text.replace("\r\n", "\n")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A field with what stands in it, and what is wrong with that."""

    field: Field
    value: Any = None
    errors: Sequence[str] = ()

    @property
    def id(self) -> str:
        return f"input-{self.field.name}"

    @property
    def described_by(self) -> str:
        """The ids of the texts that a screen reader should read along."""
        parts = [f"{self.id}-help"] if self.field.help else []
        return " ".join([*parts, f"{self.id}-errors"] if self.errors else parts)

    @property
    def kept(self) -> list[Reference]:
        """The files of ours that stand in it."""
        return [each for each in self._pictures if is_reference(each)]

    @property
    def addresses(self) -> str:
        """What was typed as addresses, one a line."""
        return "\n".join(str(each) for each in self._pictures if not is_reference(each))

    @property
    def _pictures(self) -> list[Any]:
        values = self.value if isinstance(self.value, list) else [self.value]
        return [each for each in values if each is not None]

    @property
    def options(self) -> list[tuple[str, str, bool]]:
        """(value, words, whether it is chosen); an empty one where nothing need be chosen."""
        # What only the API can say, such as a size in pixels, is shown as the default.
        chosen = self.value if self.value in self.field.choices else self.field.default
        empty = [] if self.field.default is not None else [("", "–", chosen is None)]
        return empty + [(str(choice), _words(str(choice)), choice == chosen) for choice in self.field.choices]


@dataclass(frozen=True, kw_only=True)
class Form:
    model: Model
    values: Mapping[str, Any]
    errors: Sequence[Mapping[str, Any]] = ()

    def __iter__(self) -> Iterator[Shown]:
        for each in fields_of(self.model):
            found = [_message(error) for error in self.errors if _about(error) == each.name]
            yield Shown(field=each, value=self.values.get(each.name), errors=found)

    @property
    def takes_pictures(self) -> bool:
        return any(each.takes_pictures for each in fields_of(self.model))

    @property
    def general_errors(self) -> list[str]:
        """What is wrong with no field in particular."""
        names = {each.name for each in fields_of(self.model)}
        return [_message(error) for error in self.errors if _about(error) not in names]

    @property
    def preset(self) -> str:
        """The preset whose inputs all stand in the form."""
        matching = [name for name, inputs in self.model.presets.items() if inputs.items() <= self.values.items()]
        return matching[0] if matching else ""


def fields_of(model: Model) -> list[Field]:
    required = model.schema.get("required", ())
    return [_field(name, schema, required=name in required) for name, schema in model.schema["properties"].items()]


def read(model: Model, typed: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that a submitted form stands for. What was left empty is left out."""
    found = {
        each.name: each.read_pictures(typed) if each.takes_pictures else each.read(typed.get(each.name))
        for each in fields_of(model)
    }
    return {name: value for name, value in found.items() if value is not None}


def defaults(model: Model) -> dict[str, Any]:
    return {each.name: each.default for each in fields_of(model) if each.default is not None}


def _all(typed: Mapping[str, Any], name: str) -> list[str]:
    """Everything that came under this name: a browser's form may say it several times."""
    several = getattr(typed, "getlist", None)
    return list(several(name)) if several else [typed[name]] if name in typed else []


def _reference(text: str) -> Any:
    kind, _, name = text.partition(":")
    reference = {kind: name}
    return reference if is_reference(reference) else text


def _field(name: str, schema: Schema, *, required: bool) -> Field:
    shape = _shape(schema)
    return Field(
        name=name,
        label=_label(name),
        help=schema.get("description", ""),
        widget=_widget(shape, schema.get("x-widget")),
        required=required,
        default=schema.get("default"),
        integral=shape.get("type") == "integer",
        choices=tuple(shape.get("enum", ())),
        minimum=shape.get("minimum"),
        maximum=shape.get("maximum"),
        length_max=shape.get("maxLength"),
    )


def _shape(schema: Schema) -> Schema:
    """Of several shapes the one that fits a form: named sizes rather than pixels, a number rather than null."""
    for option in schema.get("anyOf", ()):
        if "enum" in option or option.get("type") not in {None, "null"}:
            return dict(option)
    return schema


def _widget(shape: Schema, hint: str | None) -> Widget:
    if hint in {"image", "images"}:
        return "image" if hint == "image" else "images"
    kind = shape.get("type")
    if "enum" in shape:
        return "select"
    if kind == "boolean":
        return "checkbox"
    if kind in {"integer", "number"}:
        return "number"
    if kind != "string":
        raise TypeError(f"There is no form field for {shape}.")
    return "textarea" if hint == "prompt" or shape.get("maxLength", 0) > ONE_LINE_CHARACTERS_MAX else "text"


def _number(text: str, *, integral: bool) -> Any:
    if re.fullmatch(rf"[+-]?[0-9]{{1,{DIGITS_MAX}}}", text):
        return int(text)
    if integral or not re.fullmatch(rf"[+-]?[0-9]{{0,{DIGITS_MAX}}}\.?[0-9]{{1,{DIGITS_MAX}}}", text):
        return text
    return number if math.isfinite(number := float(text)) else text


def _label(name: str) -> str:
    words = " ".join(LABEL_WORDS.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def _words(choice: str) -> str:
    """“landscape_4_3” is “Landscape 4:3”, “png” is “PNG”; “720p” is itself."""
    if choice in ABBREVIATIONS:
        return choice.upper()
    ratio = re.sub(r"_(\d+)_(\d+)$", r" \1:\2", choice)
    words = [word.upper() if word in ABBREVIATIONS else word for word in ratio.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _about(error: Mapping[str, Any]) -> str:
    return str(error["loc"][0]) if error["loc"] else ""


def _message(error: Mapping[str, Any]) -> str:
    # Pydantic puts this before what our own validators say.
    return MESSAGES.get(error["type"], str(error["msg"]).removeprefix("Value error, "))
