"""A model's form: its fields with what stands in them, and what is wrong with that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generations.catalogue import Model
from generations.catalogue.files import OwnFile, is_own_file
from generations.pages.fields import Brought, Field, fields_of, read_all

ABBREVIATIONS = {"hd", "jpeg", "png", "webp"}
# The catalogue's words are for programmers; these few errors everybody makes.
MESSAGES = {"missing": "Please fill this in.", "string_too_short": "Please fill this in."}
Error = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A field with what stands in it, and what is wrong with that."""

    field: Field
    value: Any = None
    about: Sequence[Error] = ()
    """The errors in it; of a group, in all its items."""

    @property
    def id(self) -> str:
        return f"input-{self.field.name}"

    @property
    def described_by(self) -> str:
        """The ids of the texts that a screen reader should read along."""
        parts = [f"{self.id}-help"] if self.field.help else []
        return " ".join([*parts, f"{self.id}-errors"] if self.errors else parts)

    @property
    def errors(self) -> list[str]:
        """In words. Those of a group's items stand there."""
        shown = {(*self.field.loc, n) for n in range(len(self.items))}
        return [_message(error) for error in self.about if tuple(error["loc"])[: len(self.field.loc) + 1] not in shown]

    @property
    def items(self) -> list[Item]:
        """Of a group those that are there, and an empty one where there is room for it."""
        values = self.value if isinstance(self.value, list) else []
        return [
            Item(fields=fields, number=n + 1, values=value, errors=_within(self.about, (*self.field.loc, n)))
            for n, (fields, value) in enumerate(zip(self.field.items, [*values, {}], strict=False))
        ]

    @property
    def kept(self) -> list[OwnFile]:
        """The files of ours that stand in it."""
        return [each for each in self._files if is_own_file(each)]

    @property
    def addresses(self) -> str:
        """What was typed as addresses, one a line."""
        return "\n".join(str(each) for each in self._files if not is_own_file(each))

    @property
    def lines(self) -> str:
        """A list of texts, one a line."""
        return "\n".join(map(str, self.value)) if isinstance(self.value, list | tuple) else str(self.value or "")

    @property
    def _files(self) -> list[Any]:
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
class Item:
    """One of a group: a shot of a video, say."""

    fields: Sequence[Field]
    number: int
    values: Any
    errors: Sequence[Error]

    def __iter__(self) -> Iterator[Shown]:
        return _shown(self.fields, self.values, self.errors)

    @property
    def general_errors(self) -> list[str]:
        """What is wrong with it as a whole."""
        return _left_over(self.fields, self.errors)


@dataclass(frozen=True, kw_only=True)
class Form:
    model: Model
    values: Mapping[str, Any]
    errors: Sequence[Error] = ()

    def __iter__(self) -> Iterator[Shown]:
        return _shown(fields_of(self.model), self.values, self.errors)

    @property
    def takes_uploads(self) -> bool:
        return any(leaf.takes_uploads for each in fields_of(self.model) for leaf in each.leaves())

    @property
    def general_errors(self) -> list[str]:
        """What is wrong with no field in particular."""
        return _left_over(fields_of(self.model), self.errors)

    @property
    def preset(self) -> str:
        """The preset whose inputs all stand in the form."""
        matching = [name for name, inputs in self.model.presets.items() if inputs.items() <= self.values.items()]
        return matching[0] if matching else ""


def read(model: Model, typed: Mapping[str, Any], brought: Brought | None = None) -> dict[str, Any]:
    """The inputs that a submitted form stands for. What was left empty is left out."""
    fields = fields_of(model)
    found = read_all(fields, typed, brought or {})
    followers = {each.key for each in fields if each.follows in found}
    return {key: value for key, value in found.items() if key not in followers}


def defaults(model: Model) -> dict[str, Any]:
    return {each.key: each.default for each in fields_of(model) if each.default is not None}


def _message(error: Error) -> str:
    # Pydantic puts this before what our own validators say.
    return MESSAGES.get(error["type"], str(error["msg"]).removeprefix("Value error, "))


def _shown(fields: Sequence[Field], values: Any, errors: Sequence[Error]) -> Iterator[Shown]:
    found = values if isinstance(values, Mapping) else {}
    for each in fields:
        value = found.get(each.key, each.default if len(each.loc) > 1 else None)
        yield Shown(field=each, value=value, about=_within(errors, each.loc))


def _within(errors: Sequence[Error], loc: Sequence[Any]) -> list[Error]:
    return [error for error in errors if tuple(error["loc"])[: len(loc)] == tuple(loc)]


def _left_over(fields: Sequence[Field], errors: Sequence[Error]) -> list[str]:
    places = {each.loc for each in fields}
    return [_message(error) for error in errors if not any(tuple(error["loc"])[: len(loc)] == loc for loc in places)]


def _words(choice: str) -> str:
    """“landscape_4_3” is “Landscape 4:3”, “png” is “PNG”; “720p” is itself."""
    if choice in ABBREVIATIONS:
        return choice.upper()
    ratio = re.sub(r"_(\d+)_(\d+)$", r" \1:\2", choice)
    words = [word.upper() if word in ABBREVIATIONS else word for word in ratio.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])
