"""The fields of a model's form, made from its JSON Schema, and what the typed strings mean.

Nothing is judged here. A string that is no number stays a string, and the catalogue refuses it in its own words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from generations.catalogue import Model
from generations.catalogue.files import FileValue, Loc, is_own_file

Widget = Literal[
    "text", "textarea", "lines", "image", "images", "audio", "video", "select", "checkbox", "number", "group"
]
Schema = Mapping[str, Any]
Brought = Mapping[str, Sequence[FileValue]]
"""Field name → the files that came with the form."""

# A free text that may be longer than this deserves more than one line.
ONE_LINE_CHARACTERS_MAX = 250
# Beyond this many digits it is no number that any model takes, and int() would be slow.
DIGITS_MAX = 20
BY_HINT: dict[str | None, Widget] = {
    "image": "image",
    "images": "images",
    "audio": "audio",
    "video": "video",
    "weights": "text",
    "prompt": "textarea",
}
BY_TYPE: dict[Any, Widget] = {"boolean": "checkbox", "integer": "number", "number": "number", "array": "lines"}
LABEL_WORDS = {"num": "number of", "url": "address", "urls": "addresses", "pbr": "PBR"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input of a model, as a person meets it."""

    loc: Loc
    """Where it stands in the input, as errors tell it: ("prompt",), ("elements", 0, "video_url")."""
    label: str
    help: str
    widget: Widget
    required: bool
    is_main: bool = False
    """Whether it is the text that the order is about."""
    follows: str = ""
    """The input that says this as well. Where that is filled in, what stands here by default is no contradiction."""
    default: Any = None
    integral: bool = False
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    length_max: int | None = None
    items: tuple[tuple[Field, ...], ...] = ()
    """Of a group the fields of each item, for as many as there may be."""

    @property
    def key(self) -> str:
        """Its name among the inputs that it belongs to."""
        return str(self.loc[-1])

    @property
    def name(self) -> str:
        """Its name in the form."""
        return "-".join(map(str, self.loc))

    @property
    def is_optional(self) -> bool:
        return not self.required and self.default is None and len(self.loc) == 1

    @property
    def takes_uploads(self) -> bool:
        """Whether a form may send files from the device for it."""
        return self.widget in {"image", "images"}

    @property
    def takes_files(self) -> bool:
        return self.widget in {"image", "images", "audio", "video"}

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

    def leaves(self) -> Iterator[Field]:
        """Itself; of a group the fields of its items."""
        for item in self.items:
            for field in item:
                yield from field.leaves()
        if not self.items:
            yield self

    def read(self, typed: Mapping[str, Any], brought: Brought) -> Any:
        """What stands in it. None when it was left empty."""
        if self.items:
            read = (read_all(item, typed, brought) for item in self.items)
            return [item for item, fields in zip(read, self.items, strict=True) if _is_begun(item, fields)] or None
        if self.takes_files:
            return self._read_files(typed, brought.get(self.name, ()))
        return self._read_text(typed.get(self.name))

    def _read_files(self, typed: Mapping[str, Any], brought: Sequence[FileValue]) -> Any:
        """Those that were kept, those named by address, those that came; where there is room for one, the last."""
        kept = [_reference(text) for text in _all(typed, self.kept_name)]
        addresses = _lines(_all(typed, self.name))
        if self.widget == "images":
            return [*kept, *addresses, *brought] or None
        return next(iter([*reversed(brought), *addresses, *kept]), None)

    def _read_text(self, text: str | None) -> Any:
        if self.widget == "checkbox":
            return text is not None
        if text is None or not text.strip():
            return None
        if self.widget == "lines":
            return _lines([text])
        if self.widget == "select":
            return {str(choice): choice for choice in self.choices}.get(text, text)
        if self.widget == "number":
            return _number(text.strip(), integral=self.integral)
        # Browsers send \r\n for a line break; through the API the same prompt has \n.
        return text.replace("\r\n", "\n")


def fields_of(model: Model) -> list[Field]:
    return _fields(model.schema, model.schema.get("$defs", {}), ())


def read_all(fields: Iterable[Field], typed: Mapping[str, Any], brought: Brought) -> dict[str, Any]:
    """By key what stands in them. What was left empty is left out."""
    found = {field.key: field.read(typed, brought) for field in fields}
    return {key: value for key, value in found.items() if value is not None}


def _is_begun(item: Mapping[str, Any], fields: Iterable[Field]) -> bool:
    """Whether anything was filled in. A form shows one item more than there are."""
    defaults = {field.key: field.default for field in fields}
    return any(value != defaults[key] for key, value in item.items())


def _all(typed: Mapping[str, Any], name: str) -> list[str]:
    """Everything that came under this name: a browser's form may say it several times."""
    several = getattr(typed, "getlist", None)
    return list(several(name)) if several else [typed[name]] if name in typed else []


def _lines(texts: Iterable[str]) -> list[str]:
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def _reference(text: str) -> Any:
    kind, _, name = text.partition(":")
    reference = {kind: name}
    return reference if is_own_file(reference) else text


# --- From the schema ------------------------------------------------------------------------------------------------


def _fields(schema: Schema, shapes: Mapping[str, Schema], within: Loc) -> list[Field]:
    # An item that was not begun lacks nothing; what is missing in one that was, the catalogue says.
    required = () if within else schema.get("required", ())
    return [
        _field((*within, name), each, shapes, required=name in required) for name, each in schema["properties"].items()
    ]


def _field(loc: Loc, schema: Schema, shapes: Mapping[str, Schema], *, required: bool) -> Field:
    shape = _shape(schema)
    items, title = _items(loc, shape, shapes)
    hint = schema.get("x-widget")
    return Field(
        loc=loc,
        label=f"{title}s" if title else _label(str(loc[-1])),
        help=schema.get("description", ""),
        widget="group" if items else _widget(shape, hint),
        required=required,
        is_main=hint == "prompt" and len(loc) == 1,
        follows=schema.get("x-follows", ""),
        default=schema.get("default"),
        integral=shape.get("type") == "integer",
        choices=tuple(shape.get("enum", ())),
        minimum=shape.get("minimum"),
        maximum=shape.get("maximum"),
        length_max=shape.get("maxLength"),
        items=items,
    )


def _items(loc: Loc, shape: Schema, shapes: Mapping[str, Schema]) -> tuple[tuple[tuple[Field, ...], ...], str]:
    """The fields of a list of objects, and what one of these is called."""
    reference = shape.get("items", {}).get("$ref", "")
    if not reference:
        return (), ""
    inner = shapes[reference.rpartition("/")[2]]
    return tuple(tuple(_fields(inner, shapes, (*loc, n))) for n in range(shape["maxItems"])), inner["title"]


def _shape(schema: Schema) -> Schema:
    """Of several shapes the one that fits a form: named sizes rather than pixels, a number rather than null."""
    for option in schema.get("anyOf", ()):
        if "enum" in option or option.get("type") not in {None, "null"}:
            return dict(option)
    return schema


def _widget(shape: Schema, hint: str | None) -> Widget:
    if hint in BY_HINT:
        return BY_HINT[hint]
    if "enum" in shape:
        return "select"
    kind = shape.get("type")
    if kind == "string":
        return "textarea" if shape.get("maxLength", 0) > ONE_LINE_CHARACTERS_MAX else "text"
    if kind not in BY_TYPE:
        raise TypeError(f"There is no form field for {shape}.")
    return BY_TYPE[kind]


def _number(text: str, *, integral: bool) -> Any:
    if re.fullmatch(rf"[+-]?[0-9]{{1,{DIGITS_MAX}}}", text):
        return int(text)
    if integral or not re.fullmatch(rf"[+-]?[0-9]{{0,{DIGITS_MAX}}}\.?[0-9]{{1,{DIGITS_MAX}}}", text):
        return text
    return number if math.isfinite(number := float(text)) else text


def _label(name: str) -> str:
    words = " ".join(LABEL_WORDS.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]
