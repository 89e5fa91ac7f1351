"""What a declaration is made of: a model, its inputs, its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from errors import DomainError
from generations.catalogue.outputs import ExpectedFile, Output
from generations.catalogue.prices import Price

Kind = Literal["image", "video", "3d", "audio"]


class InvalidInput(DomainError, ValueError):
    """The input does not fit the model. `errors` is a list of {"loc", "msg", "type"}, fal's own shape."""

    code, status, title = "invalid_input", 422, "Invalid input"

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in errors)
        super().__init__(detail, errors=errors)
        self.errors = errors


def misfit(name: str, words: str) -> PydanticCustomError:
    """What is wrong with an input because of the others. Without it, pydantic would blame them all."""
    return PydanticCustomError("misfit", "{words}", {"words": words, "at": name})


class Part(BaseModel):
    """Inputs that belong together. Strict: an unknown name, "4" for 4 or 2.0 for 2 is refused, not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    alternatives: ClassVar[tuple[str, ...]] = ()
    """Exactly one of these is given."""
    goes_with: ClassVar[Mapping[str, str]] = {}
    """What is given only together with another."""

    @model_validator(mode="after")
    def _refuse_what_does_not_go_together(self) -> Self:
        given = [name for name in self.alternatives if getattr(self, name) is not None]
        if self.alternatives and len(given) != 1:
            words = f"Give {' or '.join(self.alternatives)}{', not both' if given else ''}."
            raise misfit(self.alternatives[0], words)
        for name, other in self.goes_with.items():
            if getattr(self, name) is not None and getattr(self, other) is None:
                raise misfit(name, f"{name} goes with {other} only.")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.alternatives:
            schema["oneOf"] = [_given(name) for name in cls.alternatives]
        if cls.goes_with:
            together = cls.goes_with.items()
            schema["allOf"] = [{"anyOf": [{"not": _given(name)}, _given(other)]} for name, other in together]
        return schema


def _given(name: str) -> JsonSchemaValue:
    """That this is said, and not null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


class Inputs(Part):
    """What a model takes."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_cannot_be_stored(cls, raw: Any) -> Any:
        for text in _texts(raw):
            # PostgreSQL's jsonb refuses NUL, and UTF-8 has no lone surrogates.
            if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
                raise ValueError("Text must not hold NUL characters or lone surrogates.")
        return raw


@dataclass(frozen=True, kw_only=True)
class Model:
    """One fal endpoint on offer."""

    slug: str
    """Our name for it, in URLs and orders. Never changes once published."""
    endpoint: str
    """fal's id, for example "fal-ai/flux/dev"."""
    title: str
    summary: str
    kind: Kind
    inputs: type[Inputs]
    output: Output
    price: Price
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Named sets of inputs; an explicit input wins over the preset's."""
    typical_seconds: int
    """How long fal usually takes; a hint for polling and for the user, never a limit."""
    seed: str = "seed"
    """The input that, fixed, gives the same result again."""
    start_timeout_seconds: int = 1800
    """fal gives up (504) when it has not begun by then, and charges nothing."""
    deadline_seconds: int = 3600
    """When we ask fal to cancel. Above start_timeout plus the longest run seen."""
    unsure: tuple[str, ...] = ()
    """Facts of this declaration that no first-hand source confirms yet."""

    def read(self, raw: Any, *, preset: str | None = None) -> Inputs:
        """The order's inputs, checked and completed with defaults. Raises InvalidInput."""
        if preset is not None and preset not in self.presets:
            raise InvalidInput([_unknown_preset(preset, self.presets)])
        if isinstance(raw, Mapping):
            raw = {**self.presets.get(preset or "", {}), **raw}
        try:
            return self.inputs.model_validate(raw)
        except ValidationError as error:
            raise InvalidInput(list(map(_in_fals_shape, error.errors()))) from error

    def credits(self, inputs: Inputs) -> int:
        """What an order with these inputs costs, in whole credits."""
        return self.price.credits(inputs)

    def list_price_millidollars(self, inputs: Inputs) -> int:
        """What fal should bill for it, in thousandths of a US dollar."""
        return self.price.list_price_millidollars(inputs)

    @cached_property
    def unit_price_millidollars(self) -> int:
        """What one unit of fal's bill costs with the defaults, in thousandths of a US dollar."""
        return self.price.unit_formula(self.inputs.model_construct())

    def arguments(self, inputs: Inputs) -> dict[str, Any]:
        """What fal is sent. Defaults are spelled out, so that the price we quoted is the job fal does."""
        return inputs.model_dump(mode="json", exclude_none=True)

    def expected_files(self, inputs: Inputs) -> tuple[ExpectedFile, ...]:
        """The files that fal should answer with."""
        return self.output.files(inputs)

    def paid_files_count(self, inputs: Inputs) -> int:
        """How many files the price is for."""
        return sum(self.is_paid(file.role) for file in self.expected_files(inputs))

    def answer_extras(self, inputs: Inputs) -> dict[str, Any]:
        """What fal's answer holds beside its files (seed, timings, …)."""
        return self.output.extras(inputs)

    def is_paid(self, role: str) -> bool:
        """Whether the file at this JSON path is one the customer pays for, or an extra (a preview, a mask)."""
        return self.output.is_paid(role)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the inputs."""
        return _schema_of(self.inputs)

    def required_inputs(self, given: Iterable[str] = ()) -> list[str]:
        """The inputs that no order can do without; where one of several will do, the first, unless one is given."""
        alternatives = self.inputs.alternatives
        chosen = alternatives[:1] if not set(alternatives) & set(given) else ()
        return [name for name in self.schema["properties"] if name in {*self.schema.get("required", ()), *chosen}]


@cache
def _schema_of(inputs: type[Inputs]) -> dict[str, Any]:
    # A model with another price is another Model of the same inputs.
    return inputs.model_json_schema()


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    # An order is a flat thing; the parser has refused absurd depth before us.
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping) and depth < 32:
        for key, item in value.items():
            yield from _texts(key, depth + 1)
            yield from _texts(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < 32:
        for item in value:
            yield from _texts(item, depth + 1)


def _in_fals_shape(error: Mapping[str, Any]) -> dict[str, Any]:
    # The offending input is left out on purpose: errors are logged, prompts are not.
    at = error.get("ctx", {}).get("at")
    return {"loc": [*error["loc"], *([at] if at else [])] or ["input"], "msg": error["msg"], "type": error["type"]}


def _unknown_preset(preset: str, presets: Mapping[str, Any]) -> dict[str, Any]:
    offer = ", ".join(sorted(presets)) or "none for this model"
    return {"loc": ["preset"], "msg": f"There is no preset “{preset}”. Presets: {offer}.", "type": "one_of"}
