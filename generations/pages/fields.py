"""The form fields of a model, derived from the JSON Schema of its inputs.

`fields_of` turns a schema into `Field` objects, and `read_all` turns the strings that a browser submitted back into
input values. Nothing is validated here: a text that is not a number stays a text, and the catalogue rejects it with
its own message. `generations.pages.forms` adds values and errors to the fields.
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
UploadedFiles = Mapping[str, Sequence[FileValue]]
"""Field name → references to the files that were uploaded with the form."""

# A free text that may be longer than this gets a text area instead of a single line.
ONE_LINE_CHARACTERS_MAX = 250
# No model accepts a number with more digits, and int() is slow on very long strings.
DIGITS_MAX = 20
# The catalogue marks inputs with `x-widget` where their type does not say what they are.
WIDGET_OF_HINT: dict[str | None, Widget] = {
    "image": "image",
    "images": "images",
    "audio": "audio",
    "video": "video",
    "weights": "text",
    "prompt": "textarea",
}
WIDGET_OF_TYPE: dict[Any, Widget] = {"boolean": "checkbox", "integer": "number", "number": "number", "array": "lines"}
# Labels are made from the names of inputs. These words are abbreviated there.
LABEL_WORDS = {"num": "number of", "url": "URL", "urls": "URLs", "pbr": "PBR"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One form field. It stands for one input of a model, or for a group of inputs that can be repeated."""

    loc: Loc
    """The path of the input, as in the errors of the catalogue: ("prompt",), ("elements", 0, "video_url")."""
    label: str
    help: str
    widget: Widget
    required: bool
    is_main: bool = False
    """Whether this is the prompt of the order."""
    follows: str = ""
    """The name of an input that replaces this one. If that input is filled in, this field is not read."""
    default: Any = None
    integral: bool = False
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    length_max: int | None = None
    items: tuple[tuple[Field, ...], ...] = ()
    """For a group: the fields of each item, as many items as the model accepts."""

    @property
    def key(self) -> str:
        """The name of the input within the object that contains it."""
        return str(self.loc[-1])

    @property
    def name(self) -> str:
        """The name of the form field, such as "elements-0-video_url"."""
        return "-".join(map(str, self.loc))

    @property
    def is_optional(self) -> bool:
        return not self.required and self.default is None and len(self.loc) == 1

    @property
    def accepts_uploads(self) -> bool:
        """Whether image files can be uploaded with the form for this field."""
        return self.widget in {"image", "images"}

    @property
    def accepts_files(self) -> bool:
        return self.widget in {"image", "images", "audio", "video"}

    @property
    def file_name(self) -> str:
        """The name of the form field for uploaded files."""
        return f"{self.name}-file"

    @property
    def file_label(self) -> str:
        """The label of the field for uploaded files: "Image URLs" becomes "Images"."""
        return re.sub(r" URL(s?)$", r"\1", self.label)

    @property
    def kept_name(self) -> str:
        """The name of the form field for files that Limn stores already: "upload:<id>" or "output:<id>"."""
        return f"{self.name}-kept"

    def leaves(self) -> Iterator[Field]:
        """Yield the field itself, or the fields of all items if it is a group."""
        for item in self.items:
            for field in item:
                yield from field.leaves()
        if not self.items:
            yield self

    def read(self, typed: Mapping[str, Any], uploaded: UploadedFiles) -> Any:
        """Return the value of the field in a submitted form, or None if it was left empty."""
        if self.items:
            items = []
            for fields in self.items:
                values = read_all(fields, typed, uploaded)
                # The form always shows one empty item more than there are. One that holds nothing but defaults is not
                # meant.
                if any(values.get(field.key, field.default) != field.default for field in fields):
                    items.append(values)
            return items or None
        if self.accepts_files:
            return self._read_files(typed, uploaded.get(self.name, ()))
        return self._read_text(typed.get(self.name))

    def _read_files(self, typed: Mapping[str, Any], uploaded: Sequence[FileValue]) -> Any:
        stored: list[Any] = []
        for text in _all_values(typed, self.kept_name):
            kind, _, file_id = text.partition(":")
            # A text that is no reference is kept as it is, so that the catalogue rejects it with a message.
            stored.append({kind: file_id} if is_own_file({kind: file_id}) else text)
        urls = _lines(_all_values(typed, self.name))
        if self.widget == "images":
            return [*stored, *urls, *uploaded] or None
        # Only one file fits. The most deliberate choice wins: a new upload, then a URL, then the file of before.
        return next(iter([*reversed(uploaded), *urls, *stored]), None)

    def _read_text(self, text: str | None) -> Any:
        if self.widget == "checkbox":
            # Browsers send nothing at all for an unticked box.
            return text is not None
        if text is None or not text.strip():
            return None
        if self.widget == "lines":
            return _lines([text])
        if self.widget == "select":
            # Choices may be numbers, and a browser sends texts.
            return {str(choice): choice for choice in self.choices}.get(text, text)
        if self.widget == "number":
            return _number(text.strip(), integral=self.integral)
        # Browsers send \r\n for a line break; through the API the same prompt has \n.
        return text.replace("\r\n", "\n")


def fields_of(model: Model) -> list[Field]:
    """Return the form fields of this model, in the order of its schema."""
    return _fields(model.schema, model.schema.get("$defs", {}), ())


def read_all(fields: Iterable[Field], typed: Mapping[str, Any], uploaded: UploadedFiles) -> dict[str, Any]:
    """Return the values of these fields by key. Fields that were left empty are left out."""
    values = {field.key: field.read(typed, uploaded) for field in fields}
    return {key: value for key, value in values.items() if value is not None}


def _all_values(typed: Mapping[str, Any], name: str) -> list[str]:
    """Return every value of this name: a QueryDict may hold several, a plain dict one."""
    getlist = getattr(typed, "getlist", None)
    return list(getlist(name)) if getlist else [typed[name]] if name in typed else []


def _lines(texts: Iterable[str]) -> list[str]:
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def _number(text: str, *, integral: bool) -> Any:
    """Return the number in this text, or the text itself if it is not a plain decimal number."""
    if re.fullmatch(rf"[+-]?[0-9]{{1,{DIGITS_MAX}}}", text):
        return int(text)
    if integral or not re.fullmatch(rf"[+-]?[0-9]{{0,{DIGITS_MAX}}}\.?[0-9]{{1,{DIGITS_MAX}}}", text):
        return text
    return number if math.isfinite(number := float(text)) else text


# --- From the JSON Schema -------------------------------------------------------------------------------------------


def _fields(schema: Schema, definitions: Mapping[str, Schema], parent: Loc) -> list[Field]:
    # Within an item no field is required, because the whole item may stay empty. The catalogue reports what is missing.
    required = () if parent else schema.get("required", ())
    return [
        _field((*parent, name), each, definitions, required=name in required)
        for name, each in schema["properties"].items()
    ]


def _field(loc: Loc, schema: Schema, definitions: Mapping[str, Schema], *, required: bool) -> Field:
    shape = _form_shape(schema)
    words = " ".join(LABEL_WORDS.get(word, word) for word in str(loc[-1]).split("_"))
    label = words[:1].upper() + words[1:]
    items: tuple[tuple[Field, ...], ...] = ()
    if reference := shape.get("items", {}).get("$ref", ""):
        # A list of objects becomes a group, with the fields of one object for each item.
        definition = definitions[reference.rpartition("/")[2]]
        label = f"{definition['title']}s"
        items = tuple(tuple(_fields(definition, definitions, (*loc, n))) for n in range(shape["maxItems"]))
    hint = schema.get("x-widget")
    return Field(
        loc=loc,
        label=label,
        help=schema.get("description", ""),
        widget="group" if items else widget_of(shape, hint),
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


def _form_shape(schema: Schema) -> Schema:
    """Return the alternative that suits a form: named sizes rather than pixels, a number rather than null."""
    for option in schema.get("anyOf", ()):
        if "enum" in option or option.get("type") not in {None, "null"}:
            return dict(option)
    return schema


def widget_of(shape: Schema, hint: str | None) -> Widget:
    """Return the widget for an input of this shape. `hint` is the input's `x-widget`. Raises TypeError if none fits."""
    if hint in WIDGET_OF_HINT:
        return WIDGET_OF_HINT[hint]
    if "enum" in shape:
        return "select"
    kind = shape.get("type")
    if kind == "string":
        return "textarea" if shape.get("maxLength", 0) > ONE_LINE_CHARACTERS_MAX else "text"
    if kind not in WIDGET_OF_TYPE:
        raise TypeError(f"There is no form field for {shape}.")
    return WIDGET_OF_TYPE[kind]
