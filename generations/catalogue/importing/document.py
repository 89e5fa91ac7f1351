"""Reads fal's OpenAPI document of an endpoint and resolves its references. Nothing in it is trusted to be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REFERENCES_MAX = 8
TEXT_CHARACTERS_MAX = 90


class CannotDeclare(ValueError):
    """fal's document describes something that a declaration cannot express."""


@dataclass(frozen=True)
class Document:
    raw: Mapping[str, Any]

    @property
    def input_schema(self) -> Mapping[str, Any]:
        """The schema of the body that is posted. Raises CannotDeclare if there is none."""
        for methods in as_mapping(self.raw.get("paths")).values():
            post = as_mapping(as_mapping(methods).get("post"))
            if found := self._json_schema(post.get("requestBody")):
                return found
        raise CannotDeclare("The document does not say what inputs the endpoint takes.")

    @property
    def output_schema(self) -> Mapping[str, Any]:
        """The schema of a result. Raises CannotDeclare if there is none."""
        for path, methods in as_mapping(self.raw.get("paths")).items():
            responses = as_mapping(as_mapping(as_mapping(methods).get("get")).get("responses"))
            if str(path).endswith("{request_id}") and (found := self._json_schema(responses.get("200"))):
                return found
        raise CannotDeclare("The document does not say what a result holds.")

    @property
    def title(self) -> str:
        return shortened(as_mapping(self.raw.get("info")).get("title")).removeprefix("Queue OpenAPI for ")

    @property
    def summary(self) -> str:
        return shortened(as_mapping(self.raw.get("info")).get("description"))

    @property
    def category(self) -> str:
        """fal's category of the endpoint: "text-to-image", "image-to-3d" …"""
        return str(as_mapping(as_mapping(self.raw.get("info")).get("x-fal-metadata")).get("category", ""))

    def alternatives(self, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the schemas that a value may match, resolved and without null."""
        options = schema.get("anyOf") or schema.get("oneOf") or [schema]
        resolved = [self.resolve(as_mapping(option)) for option in options]
        return [option for option in resolved if option.get("type") != "null"]

    def resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the schema that a `$ref` points to. Keywords beside the reference override those of its target.

        Raises:
            CannotDeclare: The references are circular, or nested more than eight deep.
        """
        for _ in range(REFERENCES_MAX):
            # fal wraps a reference with a description into an `allOf` of one.
            inner = schema.get("allOf")
            if isinstance(inner, list) and len(inner) == 1:
                schema = {**as_mapping(inner[0]), **{key: value for key, value in schema.items() if key != "allOf"}}
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            schemas = as_mapping(as_mapping(self.raw.get("components")).get("schemas"))
            target = as_mapping(schemas.get(reference.rpartition("/")[2]))
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        raise CannotDeclare("The document's references are circular.")

    def _json_schema(self, body: Any) -> Mapping[str, Any]:
        """Return the schema of a request body or a response, empty if there is none."""
        content = as_mapping(as_mapping(body).get("content"))
        return self.resolve(as_mapping(as_mapping(content.get("application/json")).get("schema")))


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def shortened(text: Any) -> str:
    """Return a text of fal's on one line of at most 90 characters, cut between words."""
    line = " ".join(str(text or "").split())
    if len(line) <= TEXT_CHARACTERS_MAX:
        return line
    return f"{line[:TEXT_CHARACTERS_MAX].rpartition(' ')[0] or line[:TEXT_CHARACTERS_MAX]}…"
