"""What customers may say: whatever the document allows or forbids, and orders of everything in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

from generations.catalogue import MODELS, Model
from tests.generations.catalogue.example_orders import AUDIO, IMAGE, VIDEO, WEIGHTS, examples, properties
from tests.generations.http.test_openapi import BODIES
from tests.helpers.images import picture

Names = Mapping[str, object]


def cases(operation: APIOperation, whose: Sequence[Names]) -> SearchStrategy[Case]:
    """Requests for this operation, good ones and bad ones, about one of these things or about what is not there.

    The document calls an input an object; so a random body is hardly ever an order. Half of them are good ones, some
    with one random member.
    """
    needed = {parameter.name for parameter in operation.path_parameters}
    paths: list[dict[str, str] | None] = [{name: str(names[name]) for name in needed} for names in whose if needed]
    if _name(operation) == "put_upload_content":
        return st.one_of([_puts(operation, path) for path in paths])
    random: SearchStrategy[Case] = st.one_of(
        [operation.as_strategy(mode, path_parameters=path) for path in (*paths, None) for mode in GenerationMode]
    )
    if (right := _right_bodies(_name(operation), whose[0])) is None:
        return random
    return st.builds(_mixed, random, st.none() | right, st.none() | st.integers(0, 9))


def examples_of(operation: APIOperation) -> int:
    """How many are worth while: a request that has no parts is always the same one."""
    raw = operation.definition.raw
    if "requestBody" in raw:
        return 60
    return 30 if raw.get("parameters") else 3


def _puts(operation: APIOperation, path: dict[str, str] | None) -> SearchStrategy[Case]:
    """Bytes, of which some are those that were announced."""
    announced = operation.as_strategy(GenerationMode.POSITIVE, path_parameters=path, body=picture())
    return operation.as_strategy(GenerationMode.POSITIVE, path_parameters=path) | announced.map(_called_png)


def _name(operation: APIOperation) -> str:
    return str(operation.definition.raw["operationId"])


def _right_bodies(name: str, hers: Names) -> SearchStrategy[Any] | None:
    inputs = {slug: _inputs(model, {"upload": str(hers["upload_id"])}) for slug, model in MODELS.items()}
    slugs = st.sampled_from(sorted(MODELS))
    one = slugs.flatmap(lambda slug: st.fixed_dictionaries({"model": st.just(slug), "input": inputs[slug]}))
    several = slugs.flatmap(
        lambda slug: st.fixed_dictionaries({"model": st.just(slug), "inputs": st.lists(inputs[slug], max_size=3)})
    )
    if name in {"create_generation", "quote"}:
        return one
    if name == "create_batch":
        return several
    return st.just(BODIES[name]) if name in BODIES else None


def _inputs(model: Model, file: dict[str, str]) -> SearchStrategy[dict[str, Any]]:
    known = {
        name: st.sampled_from(examples(model, schema)).map(lambda value: _with(file, value))
        for name, schema in properties(model).items()
    }
    needed = model.required_inputs()
    optional = {name: values for name, values in known.items() if name not in needed}
    return st.fixed_dictionaries({name: known[name] for name in needed}, optional=optional)


def _with(file: dict[str, str], value: Any) -> Any:
    """A picture of hers, where the catalogue's examples have an address: nothing is fetched from outside."""
    if isinstance(value, dict):
        return {name: _with(file, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with(file, each) for each in value]
    return "a-fox/somewhere" if value == WEIGHTS else file if value in (IMAGE, AUDIO, VIDEO) else value


def _mixed(case: Case, right: dict[str, Any] | None, which: int | None) -> Case:
    if right is not None and isinstance(case.body, dict):
        members = [] if which is None else list(case.body.items())[which : which + 1]
        case.body = {**right, **dict(members)}
    return case


def _called_png(case: Case) -> Case:
    # The document says image/*, and such a type cannot be sent.
    case.media_type = "image/png"
    return case
