"""Input types that several models share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# No top-level domain begins with a digit; what ends in a number is read as an address by someone (127.1, 0x7f.1).
_PUBLIC_NAME = re.compile(rf"({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
_PRIVATE_DOMAINS = (".local", ".localhost", ".internal", ".home.arpa")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
URL_CHARACTERS_MAX = 2048


def _fetchable(url: str) -> str:
    """fal fetches these. What only our own network could reach is refused all the same.

    But for a port of this very machine: there the simulator lives, and what we sign for it. Whether somebody may
    name one is the doors' to decide, who fetch what they are named before they order it.
    """
    if not re.fullmatch(r"[\x21-\x5b\x5d-\x7e]+", url):
        raise ValueError("The URL must be plain ASCII without spaces or backslashes.")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host = 0, ""
    if not host or port == 0 or (parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK)):
        raise ValueError("The URL must begin with https:// and name a host.")
    if "@" in parts.netloc:
        raise ValueError("The URL must not carry a user name or password.")
    if host in _LOOPBACK and port:
        return url
    if not _PUBLIC_NAME.fullmatch(host) or host.endswith(_PRIVATE_DOMAINS):
        raise ValueError("The URL must name a public host, not an address.")
    return url


# --- Pictures ---

Reference = dict[str, str]
"""{"upload": id} or {"output": id}: a file that lies with us."""
Picture = str | Reference


def _picture(value: Any) -> Picture:
    """An address, or a file of the customer's own. Whether there is such a file is not known here."""
    if isinstance(value, str):
        if len(value) > URL_CHARACTERS_MAX:
            raise PydanticCustomError("string_too_long", f"The URL has at most {URL_CHARACTERS_MAX} characters.")
        return _fetchable(value)
    if is_reference(value):
        return dict(value)
    raise PydanticCustomError(
        "picture", 'A public https address, {"upload": id} or {"output": id}, the ids as we wrote them.'
    )


def is_reference(value: Any) -> bool:
    """Whether this names an upload or an output, and nothing else."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    ((kind, name),) = value.items()
    return kind in ("upload", "output") and isinstance(name, str) and re.fullmatch(_ID, name) is not None


def _reference_schema(kind: str, words: str) -> dict[str, Any]:
    return {
        "type": "object",
        "title": words,
        "properties": {kind: {"type": "string", "format": "uuid", "pattern": _ID}},
        "required": [kind],
        "additionalProperties": False,
    }


def _picture_schema(description: str, *others: dict[str, Any]) -> dict[str, Any]:
    address = {"type": "string", "format": "uri", "maxLength": URL_CHARACTERS_MAX}
    return {
        "anyOf": [
            address,
            _reference_schema("upload", "An upload of yours"),
            _reference_schema("output", "A picture that was made for you"),
            *others,
        ],
        "description": description,
        # Once more outside: they hold for texts alone, and readers look for them here.
        "format": "uri",
        "maxLength": URL_CHARACTERS_MAX,
        "x-widget": "image",
    }


_PICTURE_WORDS = "A picture: a public https address, an upload of yours, or an output of yours."

ImageUrl = Annotated[Picture, PlainValidator(_picture), WithJsonSchema(_picture_schema(_PICTURE_WORDS))]
OptionalImageUrl = Annotated[
    ImageUrl | None, WithJsonSchema(_picture_schema(_PICTURE_WORDS, {"type": "null"})), Field(default=None)
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """Where a picture stands in an input."""

    loc: tuple[str | int, ...]
    """As errors tell it: ("image_urls", 0)."""
    picture: Picture

    @property
    def path(self) -> str:
        """As answers tell it: "image_urls[0]"."""
        name, *index = self.loc
        return f"{name}[{index[0]}]" if index else str(name)


def pictures_in(schema: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Place]:
    """Every picture among these inputs, by the model's JSON Schema."""
    for name, field in schema["properties"].items():
        value = values.get(name)
        if field.get("x-widget") == "image" and value is not None:
            yield Place(loc=(name,), picture=value)
        elif field.get("x-widget") == "images":
            yield from (Place(loc=(name, index), picture=each) for index, each in enumerate(value or ()))


# Prompts longer than this are refused by every model we have seen, most far earlier.
PROMPT_CHARACTERS_MAX = 20_000

Prompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=PROMPT_CHARACTERS_MAX,
        description="What to make.",
        json_schema_extra={"x-widget": "prompt"},
    ),
]
Seed = Annotated[
    int | None,
    Field(default=None, ge=0, le=2**31 - 1, description="The same seed and inputs give the same result."),
]
SafetyTolerance = Annotated[
    Literal["1", "2", "3", "4", "5", "6"],
    Field(description="1 is strict, 6 lenient."),
]
