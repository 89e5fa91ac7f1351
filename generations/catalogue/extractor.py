"""Finds every file in an answer of fal, whatever its shape. The lifecycle stores them as the outputs of a generation.

fal has 1,390 endpoints and about eighty ways to name a file; nearly all of them are objects with a `url` (counted in
November 2026 from the types of @fal-ai/client; docs/fal.md). So the extractor walks the whole answer, and a model's
declaration only says which of the files are paid for. A hostile or broken answer can neither make it fail nor make it
return more than `FILES_MAX` files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FILES_MAX = 64
"""Files beyond this number are ignored. The largest answer seen has about thirty."""
DEPTH_MAX = 16
ROLE_CHARACTERS_MAX = 200
URL_CHARACTERS_MAX = 4096
"""The HTTP client refuses longer URLs. A `data:` URL holds the file itself and may have any length."""
TYPE_CHARACTERS_MAX = 100


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A file object of fal's answer.

    The claims are fal's: the copier measures the type, the size and the pixels of the file itself.
    """

    role: str
    """The JSON path in the answer ("images[0]"), in printable ASCII."""
    url: str
    claimed_type: str = ""
    claimed_size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    flagged: bool = False
    """fal's safety checker has blackened the image."""


def extract_files(answer: Any) -> list[FoundFile]:
    """Return the files of an answer, in its order. A URL that occurs twice is one file.

    Args:
        answer: The decoded JSON of fal's answer; any type and any content.
    """
    # fal marks a blackened image only in this list beside the images, and answers OK (docs/fal.md).
    flags = answer.get("has_nsfw_concepts") if isinstance(answer, Mapping) else None
    found: dict[str, FoundFile] = {}
    for role, node in _file_objects(answer, "", 0):
        url, content_type = node["url"], node.get("content_type")
        if url in found:
            continue
        image = re.fullmatch(r"images\[([0-9]{1,9})\]", role)
        flag = flags[int(image[1])] if image and isinstance(flags, list) and int(image[1]) < len(flags) else False
        width, height = _number(node.get("width")), _number(node.get("height"))
        size_bytes = _number(node.get("file_size"))
        found[url] = FoundFile(
            # The role becomes a column and part of a storage key.
            role="".join(c if c.isascii() and c.isprintable() else "_" for c in role[:ROLE_CHARACTERS_MAX]),
            url=url,
            claimed_type=content_type[:TYPE_CHARACTERS_MAX] if isinstance(content_type, str) else "",
            # Some models write whole numbers as floats.
            claimed_size_bytes=None if size_bytes is None else int(size_bytes),
            width=None if width is None else int(width),
            height=None if height is None else int(height),
            duration_seconds=_number(node.get("duration")),
            flagged=flag is True,
        )
        if len(found) == FILES_MAX:
            break
    return list(found.values())


def _file_objects(node: Any, path: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every object with a `url`, depth first, with its JSON path."""
    if depth > DEPTH_MAX:
        return
    if isinstance(node, Mapping):
        if is_file_url(node.get("url")):
            yield path or "file", node
        for key, child in node.items():
            yield from _file_objects(child, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _file_objects(child, f"{path}[{index}]", depth + 1)


def is_file_url(value: Any) -> bool:
    """Return whether this is a URL that a file can be fetched from: http(s), or `data:` with the file in it."""
    # A URL is ASCII. Anything else could neither be stored nor fetched.
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return False
    if value.startswith("data:"):
        return True
    return value.startswith(("https://", "http://")) and len(value) <= URL_CHARACTERS_MAX


def _number(value: Any) -> float | None:
    """Return the number if it is plausible. From 2^53 on, floats skip integers and a claim is noise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**53 else None
