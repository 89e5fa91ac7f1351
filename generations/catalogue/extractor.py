"""Every file in an answer of fal, whatever its shape.

fal has 1,390 endpoints and about eighty ways to name a file; all of them are objects with a `url`
(fal-facts.md §7.5). So the whole tree is walked, and a model's declaration only says which are paid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FILES_MAX = 64
"""An answer with more files than this is not an answer; the largest seen has about thirty."""
DEPTH_MAX = 16
ROLE_CHARACTERS_MAX = 200
URL_CHARACTERS_MAX = 4096
"""The fetcher refuses longer ones. An address that holds the file itself (data:) is as long as it is."""


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A file object in fal's answer. Only `url` and `role` are trusted to be what they say."""

    role: str
    url: str
    claimed_type: str = ""
    claimed_size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    flagged: bool = False


def extract_files(answer: Any) -> list[FoundFile]:
    """The files of an answer, each address once, in the order in which they stand."""
    flags = answer.get("has_nsfw_concepts") if isinstance(answer, Mapping) else None
    found: dict[str, FoundFile] = {}
    for role, node in _file_objects(answer, "", 0):
        if node["url"] not in found:
            found[node["url"]] = _describe(role, node, flags)
        if len(found) == FILES_MAX:
            break
    return list(found.values())


def _file_objects(node: Any, path: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
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
    # An address is ASCII; what is not could neither be stored nor fetched.
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return False
    if value.startswith("data:"):
        return True
    return value.startswith(("https://", "http://")) and len(value) <= URL_CHARACTERS_MAX


def _describe(role: str, node: Mapping[str, Any], flags: Any) -> FoundFile:
    content_type = node.get("content_type")
    return FoundFile(
        role="".join(c if c.isascii() and c.isprintable() else "_" for c in role[:ROLE_CHARACTERS_MAX]),
        url=node["url"],
        claimed_type=content_type[:100] if isinstance(content_type, str) else "",
        claimed_size_bytes=_whole(node.get("file_size")),
        width=_whole(node.get("width")),
        height=_whole(node.get("height")),
        duration_seconds=_number(node.get("duration")),
        flagged=_is_flagged(role, flags),
    )


def _is_flagged(role: str, flags: Any) -> bool:
    # fal answers OK with a black image and says so only in this list (fal-facts.md §4.5).
    index = re.fullmatch(r"images\[([0-9]{1,9})\]", role)
    if index is None or not isinstance(flags, list) or int(index[1]) >= len(flags):
        return False
    return flags[int(index[1])] is True


def _whole(value: Any) -> int | None:
    # Some models write sizes as floats; a claim beyond 2^53 is noise.
    number = _number(value)
    return int(number) if number is not None else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**53 else None
