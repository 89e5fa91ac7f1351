"""Reads the body of a request: one strict JSON object, or a refusal. Nothing it lets through can cause a 500."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

from generations.errors import TooLarge

# The longest prompt in the widest script is 80 kB; files never come through here.
BODY_BYTES_MAX = 1024 * 1024
# An order is flat: the body, the input, a size. Beyond this it is an attack on somebody's recursion.
DEPTH_MAX = 32
# PostgreSQL's bigint has 19 digits; Python itself refuses to read more than 4,300.
DIGITS_MAX = 18


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        request = (parser_context or {})["request"]
        _require_plain_utf8(media_type or "", request.META.get("HTTP_CONTENT_ENCODING", ""))
        raw = stream.read(BODY_BYTES_MAX + 1)
        if len(raw) > BODY_BYTES_MAX:
            raise TooLarge(f"A body has at most {BODY_BYTES_MAX} bytes.")
        return read_object(raw)


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in these bytes. Raises ParseError for whatever is ambiguous or cannot be stored."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_storable,
        )
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8.") from None
    except RecursionError:
        raise ParseError(f"The body is nested deeper than {DEPTH_MAX} levels.") from None
    except json.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON: {error}.") from None
    for text in _texts(value):
        _require_storable(text)
    if not isinstance(value, dict):
        raise ParseError("The body must be a JSON object.")
    return value


def _require_plain_utf8(media_type: str, content_encoding: str) -> None:
    if content_encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(media_type, "A compressed body is not read.")
    charset = parse_header_parameters(media_type)[1].get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise ParseError("The body must be UTF-8.")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # Which of the two counts differs from reader to reader: that is how checks are slipped past.
        raise ParseError("The body names a key twice.")
    return value


def _refuse_constant(word: str) -> NoReturn:
    raise ParseError(f"{word} is not JSON.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ParseError("A number in the body is too large.")
    return number


def _storable(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS_MAX:
        raise ParseError(f"A whole number in the body has more than {DIGITS_MAX} digits.")
    return int(digits)


def _texts(value: Any, depth: int = 1) -> Iterator[str]:
    if depth > DEPTH_MAX:
        raise ParseError(f"The body is nested deeper than {DEPTH_MAX} levels.")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)


def _require_storable(text: str) -> None:
    # PostgreSQL's jsonb refuses NUL, and UTF-8 has no lone surrogates.
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ParseError("Text must not hold NUL characters or lone surrogates.")
