"""The form with which a model is ordered: its fields together with their values and errors.

The templates iterate over an `OrderForm` and get one `BoundField` for each field. `read` and `initial_values` are its
counterparts for the views: what a submitted form means, and what a new form starts with. Errors keep the format of the
catalogue ({"loc", "msg", "type"}); this module only decides beside which field each of them is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generations.catalogue import Model
from generations.catalogue.files import OwnFile, is_own_file
from generations.pages.fields import Field, UploadedFiles, fields_of, read_all

ABBREVIATIONS = {"hd", "jpeg", "png", "webp"}
# The messages of the catalogue are written for developers. These errors are so common that they get a friendlier one.
MESSAGES = {"missing": "Please fill this in.", "string_too_short": "Please fill this in."}
Error = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class BoundField:
    """A field with its value and its errors."""

    field: Field
    value: Any = None
    own_and_inner_errors: Sequence[Error] = ()
    """The errors of the field. For a group this includes the errors of its items."""

    @property
    def id(self) -> str:
        return f"input-{self.field.name}"

    @property
    def described_by(self) -> str:
        """The ids of the help text and the error message, for `aria-describedby`."""
        parts = [f"{self.id}-help"] if self.field.help else []
        return " ".join([*parts, f"{self.id}-errors"] if self.errors else parts)

    @property
    def errors(self) -> list[str]:
        """The messages to show at this field. Errors of a group's items are shown at the items."""
        items = {(*self.field.loc, n) for n in range(len(self.items))}
        depth = len(self.field.loc) + 1
        return [_message(error) for error in self.own_and_inner_errors if tuple(error["loc"])[:depth] not in items]

    @property
    def items(self) -> list[GroupItem]:
        """For a group: its items, and one empty item if there is room for another."""
        values = self.value if isinstance(self.value, list) else []
        return [
            GroupItem(
                fields=fields,
                number=n + 1,
                values=value,
                errors=_errors_within(self.own_and_inner_errors, (*self.field.loc, n)),
            )
            for n, (fields, value) in enumerate(zip(self.field.items, [*values, {}], strict=False))
        ]

    @property
    def stored_files(self) -> list[OwnFile]:
        """The uploads and outputs in the value."""
        return [file for file in self._files if is_own_file(file)]

    @property
    def urls(self) -> str:
        """The URLs in the value, one per line."""
        return "\n".join(str(file) for file in self._files if not is_own_file(file))

    @property
    def lines(self) -> str:
        """A list of texts, one per line."""
        return "\n".join(map(str, self.value)) if isinstance(self.value, list | tuple) else str(self.value or "")

    @property
    def _files(self) -> list[Any]:
        values = self.value if isinstance(self.value, list) else [self.value]
        return [file for file in values if file is not None]

    @property
    def options(self) -> list[tuple[str, str, bool]]:
        """(value, label, selected) of each choice. The first one is empty if the field has no default."""
        # A value that only the API accepts, such as a size in pixels, is shown as the default.
        chosen = self.value if self.value in self.field.choices else self.field.default
        empty = [] if self.field.default is not None else [("", "–", chosen is None)]
        return empty + [(str(choice), choice_label(str(choice)), choice == chosen) for choice in self.field.choices]


@dataclass(frozen=True, kw_only=True)
class GroupItem:
    """One item of a group, such as one shot of a video."""

    fields: Sequence[Field]
    number: int
    """Counted from 1."""
    values: Any
    errors: Sequence[Error]

    def __iter__(self) -> Iterator[BoundField]:
        return _bind(self.fields, self.values, self.errors)

    @property
    def general_errors(self) -> list[str]:
        """The messages that concern no single field of the item."""
        return _general_errors(self.fields, self.errors)


@dataclass(frozen=True, kw_only=True)
class OrderForm:
    """A model's form with the values and errors of one request."""

    model: Model
    values: Mapping[str, Any]
    errors: Sequence[Error] = ()

    def __iter__(self) -> Iterator[BoundField]:
        return _bind(fields_of(self.model), self.values, self.errors)

    @property
    def accepts_uploads(self) -> bool:
        return any(leaf.accepts_uploads for field in fields_of(self.model) for leaf in field.leaves())

    @property
    def general_errors(self) -> list[str]:
        """The messages that concern no single field."""
        return _general_errors(fields_of(self.model), self.errors)

    @property
    def preset(self) -> str:
        """The name of the preset whose inputs all agree with the values, or an empty string."""
        matching = [name for name, inputs in self.model.presets.items() if inputs.items() <= self.values.items()]
        return matching[0] if matching else ""


def read(model: Model, typed: Mapping[str, Any], uploaded: UploadedFiles | None = None) -> dict[str, Any]:
    """Read a submitted form into input values, without validating them.

    Args:
        typed: the form data, a QueryDict or a plain dict.
        uploaded: references to the files that were uploaded with the form, by field name.

    Returns the inputs by name. Fields that were left empty, or that another input replaces, are left out.
    """
    fields = fields_of(model)
    values = read_all(fields, typed, uploaded or {})
    # Where the leading input is filled in, the default of the field that follows it would only contradict it.
    replaced = {field.key for field in fields if field.follows in values}
    return {key: value for key, value in values.items() if key not in replaced}


def default_values(model: Model) -> dict[str, Any]:
    """Return the defaults of the model's inputs, by name."""
    return {field.key: field.default for field in fields_of(model) if field.default is not None}


def choice_label(choice: str) -> str:
    """Return the label of a choice: “Landscape 4:3” for “landscape_4_3”, “PNG” for “png”, “720p” as it is."""
    if choice in ABBREVIATIONS:
        return choice.upper()
    with_ratio = re.sub(r"_(\d+)_(\d+)$", r" \1:\2", choice)
    words = [word.upper() if word in ABBREVIATIONS else word for word in with_ratio.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _message(error: Error) -> str:
    # Pydantic adds this prefix to the messages of Limn's own validators.
    return MESSAGES.get(error["type"], str(error["msg"]).removeprefix("Value error, "))


def _bind(fields: Sequence[Field], values: Any, errors: Sequence[Error]) -> Iterator[BoundField]:
    known = values if isinstance(values, Mapping) else {}
    for field in fields:
        # The defaults of the outermost fields are among the values. Those within an item have to be filled in here.
        value = known.get(field.key, field.default if len(field.loc) > 1 else None)
        yield BoundField(field=field, value=value, own_and_inner_errors=_errors_within(errors, field.loc))


def _errors_within(errors: Sequence[Error], loc: Sequence[Any]) -> list[Error]:
    return [error for error in errors if tuple(error["loc"])[: len(loc)] == tuple(loc)]


def _general_errors(fields: Sequence[Field], errors: Sequence[Error]) -> list[str]:
    locs = {field.loc for field in fields}
    return [_message(error) for error in errors if not any(tuple(error["loc"])[: len(loc)] == loc for loc in locs)]
