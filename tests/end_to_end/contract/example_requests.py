"""Random requests for the tests of the OpenAPI document: what it allows, what it forbids, and orders of every model."""

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

Parameters = Mapping[str, object]


def cases(operation: APIOperation, objects: Sequence[Parameters]) -> SearchStrategy[Case]:
    """Valid and invalid requests for this operation, for these objects and for objects that do not exist.

    The document describes an input only as a JSON object, so a random body is hardly ever a valid order. Therefore half
    of the orders are valid ones, some of them with one random member.

    Args:
        operation: The operation of the document.
        objects: Sets of path parameters. The first one names objects that can be used in orders.
    """
    needed = {parameter.name for parameter in operation.path_parameters}
    paths: list[dict[str, str] | None] = [{name: str(ids[name]) for name in needed} for ids in objects if needed]
    operation_id = str(operation.definition.raw["operationId"])
    if operation_id == "put_upload_content":
        return st.one_of([_file_contents(operation, path) for path in paths])
    random: SearchStrategy[Case] = st.one_of(
        [operation.as_strategy(mode, path_parameters=path) for path in (*paths, None) for mode in GenerationMode]
    )
    if (valid_bodies := _valid_bodies(operation_id, str(objects[0]["upload_id"]))) is None:
        return random
    return st.builds(_with_body, random, st.none() | valid_bodies, st.none() | st.integers(0, 9))


def examples_of(operation: APIOperation) -> int:
    """How many requests to send. Requests without parameters and body are always the same."""
    definition = operation.definition.raw
    if "requestBody" in definition:
        return 60
    return 30 if definition.get("parameters") else 3


def _file_contents(operation: APIOperation, path: dict[str, str] | None) -> SearchStrategy[Case]:
    """Requests with random bytes, and requests with the announced file."""

    def as_png(case: Case) -> Case:
        # The document says image/*, which cannot be sent.
        case.media_type = "image/png"
        return case

    announced = operation.as_strategy(GenerationMode.POSITIVE, path_parameters=path, body=picture())
    return operation.as_strategy(GenerationMode.POSITIVE, path_parameters=path) | announced.map(as_png)


def _valid_bodies(operation_id: str, upload_id: str) -> SearchStrategy[Any] | None:
    """Valid bodies, or None if random ones are often valid."""
    inputs = {slug: _inputs(model, {"upload": upload_id}) for slug, model in MODELS.items()}
    slugs = st.sampled_from(sorted(MODELS))
    if operation_id in {"create_generation", "quote"}:
        return slugs.flatmap(lambda slug: st.fixed_dictionaries({"model": st.just(slug), "input": inputs[slug]}))
    if operation_id == "create_batch":
        return slugs.flatmap(
            lambda slug: st.fixed_dictionaries({"model": st.just(slug), "inputs": st.lists(inputs[slug], max_size=3)})
        )
    return st.just(BODIES[operation_id]) if operation_id in BODIES else None


def _inputs(model: Model, file: dict[str, str]) -> SearchStrategy[dict[str, Any]]:
    """Inputs of the model: always the required ones, and any of the optional ones."""
    values = {
        name: st.sampled_from(examples(model, schema)).map(lambda value: _with_file(value, file))
        for name, schema in properties(model).items()
    }
    required = model.required_inputs()
    optional = {name: strategy for name, strategy in values.items() if name not in required}
    return st.fixed_dictionaries({name: values[name] for name in required}, optional=optional)


def _with_file(value: Any, file: dict[str, str]) -> Any:
    """The value with `file` instead of the URLs of the examples, because nothing may be fetched from other hosts."""
    if isinstance(value, dict):
        return {name: _with_file(each, file) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_file(each, file) for each in value]
    return "a-fox/somewhere" if value == WEIGHTS else file if value in (IMAGE, AUDIO, VIDEO) else value


def _with_body(case: Case, valid_body: dict[str, Any] | None, index: int | None) -> Case:
    """The case with a valid body, in which one member of its random body (at `index`) is kept."""
    if valid_body is not None and isinstance(case.body, dict):
        random_members = [] if index is None else list(case.body.items())[index : index + 1]
        case.body = {**valid_body, **dict(random_members)}
    return case
