"""Parses the JSON body of a request strictly. DRF uses it for every request below /api/.

A body is one JSON object in UTF-8. Everything that parsers interpret differently (duplicate keys, NaN) and everything
that the database cannot store is refused here, so that no body can cause a server error further down.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import IO, Any

from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

from generations.catalogue.unstorable import UNSTORABLE
from generations.errors import TooLarge

# The longest prompt in the widest script has 80 kB. Files are uploaded elsewhere.
BODY_BYTES_MAX = 1024 * 1024
# An order is flat: the body, the input, a size. Deeper nesting only serves to exhaust a recursive reader.
DEPTH_MAX = 32
# PostgreSQL's bigint has 19 digits, and Python refuses to parse more than 4,300.
DIGITS_MAX = 18


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        request = (parser_context or {})["request"]
        # A small compressed body could expand to gigabytes.
        if request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
            raise UnsupportedMediaType(media_type or "", "Compressed bodies are not supported.")
        charset = parse_header_parameters(media_type or "")[1].get("charset", "utf-8")
        if charset.lower() not in ("utf-8", "utf8"):
            raise ParseError("The body must be UTF-8.")
        # One byte more than allowed shows that the body is too large without reading all of it.
        raw = stream.read(BODY_BYTES_MAX + 1)
        if len(raw) > BODY_BYTES_MAX:
            raise TooLarge(f"A body has at most {BODY_BYTES_MAX} bytes.")
        return read_object(raw)


def read_object(raw: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises ParseError if it is invalid, ambiguous, or cannot be stored."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique_members,
            # The constants are NaN and the infinities, which Python reads although JSON does not have them.
            parse_constant=_finite_float,
            parse_float=_finite_float,
            parse_int=_storable_int,
        )
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8.") from None
    except RecursionError:
        raise ParseError(f"The body is nested deeper than {DEPTH_MAX} levels.") from None
    except json.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON: {error}.") from None
    for text in _texts(value):
        if UNSTORABLE.search(text):
            raise ParseError("Text must not contain NUL characters or lone surrogates.")
    if not isinstance(value, dict):
        raise ParseError("The body must be a JSON object.")
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # Parsers differ in which of two members counts. A check could see one of them, and the database the other.
        raise ParseError("An object in the body has the same key twice.")
    return value


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ParseError("A number in the body is not finite, or too large.")
    return number


def _storable_int(digits: str) -> int:
    # Before the conversion, whose time grows with the square of the number of digits.
    if len(digits.lstrip("-")) > DIGITS_MAX:
        raise ParseError(f"A whole number in the body has more than {DIGITS_MAX} digits.")
    return int(digits)


def _texts(value: Any, depth: int = 1) -> Iterator[str]:
    """Yield all strings in a JSON value, keys included. Raises ParseError if the value is nested too deeply."""
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
