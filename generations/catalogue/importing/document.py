"""fal's OpenAPI document, and how to follow its references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REFERENCES_MAX = 8
WORDS_MAX = 90


class CannotDeclare(ValueError):
    """The document describes something that a declaration cannot say."""


@dataclass(frozen=True)
class Document:
    raw: Mapping[str, Any]

    @property
    def posted(self) -> Mapping[str, Any]:
        """The schema of an order."""
        for methods in mapping(self.raw.get("paths")).values():
            if found := self._content(mapping(mapping(mapping(methods).get("post")).get("requestBody"))):
                return found
        raise CannotDeclare("The document does not say what an order holds.")

    @property
    def answered(self) -> Mapping[str, Any]:
        """The schema of a result."""
        for path, methods in mapping(self.raw.get("paths")).items():
            responses = mapping(mapping(mapping(methods).get("get")).get("responses"))
            if str(path).endswith("{request_id}") and (found := self._content(mapping(responses.get("200")))):
                return found
        raise CannotDeclare("The document does not say what a result holds.")

    @property
    def title(self) -> str:
        return words(mapping(self.raw.get("info")).get("title")).removeprefix("Queue OpenAPI for ")

    @property
    def summary(self) -> str:
        return words(mapping(self.raw.get("info")).get("description"))

    @property
    def category(self) -> str:
        """fal's: text-to-image, image-to-3d …"""
        return str(mapping(mapping(self.raw.get("info")).get("x-fal-metadata")).get("category", ""))

    def shapes(self, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The shapes that a value may have, without null, references followed."""
        options = schema.get("anyOf") or schema.get("oneOf") or [schema]
        resolved = [self.resolved(mapping(option)) for option in options]
        return [option for option in resolved if option.get("type") != "null"]

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """A reference, followed; what stands beside it wins."""
        for _ in range(REFERENCES_MAX):
            inner = schema.get("allOf")
            if isinstance(inner, list) and len(inner) == 1:
                schema = {**mapping(inner[0]), **{key: value for key, value in schema.items() if key != "allOf"}}
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            named = mapping(mapping(self.raw.get("components")).get("schemas")).get(reference.rpartition("/")[2])
            schema = {**mapping(named), **{key: value for key, value in schema.items() if key != "$ref"}}
        raise CannotDeclare("The document's references run in circles.")

    def _content(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.resolved(mapping(mapping(mapping(body.get("content")).get("application/json")).get("schema")))


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def words(text: Any) -> str:
    """A description, on one short line."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= WORDS_MAX else f"{line[:WORDS_MAX].rpartition(' ')[0] or line[:WORDS_MAX]}…"
