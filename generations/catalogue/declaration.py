"""The classes that a model's declaration is made of: `Model`, `Inputs` and the base of nested inputs.

The declarations of the catalogue create `Model` objects. Ordering, pages, the API and the simulator use them to
validate inputs, to compute a price and to know which files fal should answer with. Validation is strict: a value is
never converted to fit.
"""

from __future__ import annotations

import secrets
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
from generations.catalogue.unstorable import UNSTORABLE

Kind = Literal["image", "video", "3d", "audio"]
# Inputs are at most four levels deep; the API's JSON parser rejects deeper bodies before this module sees them.
INPUT_DEPTH_MAX = 32
# Every model that takes a seed takes those from 0 to 2,147,483,647.
SEEDS = 2**31


class InvalidInput(DomainError, ValueError):
    """The inputs of an order do not fit its model.

    `errors` lists what is wrong, each as `{"loc": [...], "msg": str, "type": str}`: the shape of fal's own errors. The
    rejected values are not part of it, because errors are logged and prompts must not be.
    """

    code, status, title = "invalid_input", 422, "Invalid input"

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in errors)
        super().__init__(detail, errors=errors)
        self.errors = errors


def conflict(input_name: str, message: str) -> PydanticCustomError:
    """Return the error of an input that is wrong only in combination with other inputs.

    A validator of the whole object raises it. Pydantic reports such an error without a location; `Model.read` adds
    `input_name` to it.
    """
    return PydanticCustomError("misfit", "{message}", {"message": message, "input_name": input_name})


class InputObject(BaseModel):
    """Inputs that form one object. An unknown name, "4" for 4 and 2.0 for 2 are rejected."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    exactly_one_of: ClassVar[tuple[str, ...]] = ()
    """Inputs of which an order gives exactly one."""
    requires: ClassVar[Mapping[str, str]] = {}
    """Input → another input that must be given with it."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        given = [name for name in self.exactly_one_of if getattr(self, name) is not None]
        if self.exactly_one_of and len(given) != 1:
            message = f"Give {' or '.join(self.exactly_one_of)}{', not both' if given else ''}."
            raise conflict(self.exactly_one_of[0], message)
        for name, other in self.requires.items():
            if getattr(self, name) is not None and getattr(self, other) is None:
                raise conflict(name, f"{name} can only be used together with {other}.")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.exactly_one_of:
            schema["oneOf"] = [_is_given(name) for name in cls.exactly_one_of]
        if cls.requires:
            schema["allOf"] = [
                {"anyOf": [{"not": _is_given(name)}, _is_given(other)]} for name, other in cls.requires.items()
            ]
        return schema


def _is_given(name: str) -> JsonSchemaValue:
    """Return the JSON Schema of an object that has this member, and not as null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


class Inputs(InputObject):
    """The inputs of a model: the base class of every declared set."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_unstorable_text(cls, raw: Any) -> Any:
        for text in _texts_in(raw):
            if UNSTORABLE.search(text):
                raise ValueError("Text must not contain NUL characters or lone surrogates.")
        return raw


def _texts_in(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping) and depth < INPUT_DEPTH_MAX:
        for key, item in value.items():
            yield from _texts_in(key, depth + 1)
            yield from _texts_in(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < INPUT_DEPTH_MAX:
        for item in value:
            yield from _texts_in(item, depth + 1)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A fal endpoint that customers can order."""

    slug: str
    """Limn's name of the model in URLs and orders. It never changes once published."""
    endpoint: str
    """fal's ID of the endpoint, for example "fal-ai/flux/dev"."""
    title: str
    summary: str
    kind: Kind
    inputs: type[Inputs]
    output: Output
    price: Price
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Named sets of inputs. An explicit input overrides the preset's value."""
    typical_seconds: int
    """How long fal usually takes. A hint for polling and for people, never a limit."""
    seed: str = "seed"
    """The input that makes fal repeat a result when it is fixed."""
    start_timeout_seconds: int = 1800
    """fal gives up (504) if the job has not started by then, and charges nothing."""
    deadline_seconds: int = 3600
    """When Limn asks fal to cancel the job. Longer than `start_timeout_seconds` plus the longest run seen."""
    unsure: tuple[str, ...] = ()
    """Facts of this declaration that no first-hand source confirms yet."""

    def read(self, raw: Any, *, preset: str | None = None) -> Inputs:
        """Validate the inputs of an order and fill in the defaults.

        Args:
            raw: The decoded JSON of the order's inputs; any type. An explicit input overrides the preset's value.
            preset: The name of one of `presets`, or None.

        Raises:
            InvalidInput: An input is unknown, missing or out of range, or there is no such preset.
        """
        if preset is not None and preset not in self.presets:
            offered = ", ".join(sorted(self.presets)) or "none for this model"
            message = f"There is no preset “{preset}”. Presets: {offered}."
            raise InvalidInput([{"loc": ["preset"], "msg": message, "type": "one_of"}])
        if isinstance(raw, Mapping):
            raw = {**self.presets.get(preset or "", {}), **raw}
        try:
            return self.inputs.model_validate(raw)
        except ValidationError as error:
            errors = []
            for each in error.errors():
                # A conflict between inputs is an error of the whole object and names the input to blame itself.
                blamed = each.get("ctx", {}).get("input_name")
                loc = [*each["loc"], *([blamed] if blamed else [])]
                errors.append({"loc": loc or ["input"], "msg": each["msg"], "type": each["type"]})
            raise InvalidInput(errors) from error

    def credits(self, inputs: Inputs) -> int:
        """Return the price of an order with these inputs, in whole credits."""
        return self.price.credits(inputs)

    def list_price_millidollars(self, inputs: Inputs) -> int:
        """Return what fal should bill for these inputs by its price list, in thousandths of a US dollar."""
        return self.price.list_price_millidollars(inputs)

    @cached_property
    def unit_price_millidollars(self) -> int:
        """The price of one unit of fal's bill with the default inputs, in thousandths of a US dollar."""
        return self.price.unit_formula(self.inputs.model_construct())

    def arguments(self, inputs: Inputs) -> dict[str, Any]:
        """Return the JSON object to send to fal.

        It spells out every default, so that fal does the job that the price was quoted for even if fal changes a
        default of its own.
        """
        return inputs.model_dump(mode="json", exclude_none=True)

    def draw_seed(self, arguments: Mapping[str, Any]) -> int | None:
        """Return a random seed for arguments without one; None if they have one, or the model takes none."""
        if self.seed in arguments or self.seed not in self.inputs.model_fields:
            return None
        return secrets.randbelow(SEEDS)

    def with_seed(self, arguments: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
        """Return the arguments with a seed that was drawn for them; unchanged for None."""
        return dict(arguments) if seed is None else {**arguments, self.seed: seed}

    def expected_files(self, inputs: Inputs) -> tuple[ExpectedFile, ...]:
        """Return the files that fal's answer should hold."""
        return self.output.files(inputs)

    def paid_files_count(self, inputs: Inputs) -> int:
        """Return the number of files that the price covers."""
        return sum(self.is_paid(file.role) for file in self.expected_files(inputs))

    def answer_extras(self, inputs: Inputs) -> dict[str, Any]:
        """Return what fal's answer holds beside its files (seed, timings, …). The simulator answers with it."""
        return self.output.extras(inputs)

    def is_paid(self, role: str) -> bool:
        """Return whether the customer pays for the file at this JSON path. Previews and masks are free extras."""
        return self.output.is_paid(role)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the inputs."""
        return _schema_of(self.inputs)

    def required_inputs(self, given: Iterable[str] = ()) -> list[str]:
        """Return the names of the inputs that an order must give, in the order of their declaration.

        Where exactly one of several is required, the result names the first of them, unless `given` has another.
        """
        alternatives = self.inputs.exactly_one_of
        chosen = alternatives[:1] if not set(alternatives) & set(given) else ()
        return [name for name in self.schema["properties"] if name in {*self.schema.get("required", ()), *chosen}]


@cache
def _schema_of(inputs: type[Inputs]) -> dict[str, Any]:
    # Cached by class and not by model: the price book makes a new Model of the same inputs for each price.
    return inputs.model_json_schema()
