"""What an answer of fal says beside its files: the seed that was used, a description, when each word is spoken.

It is kept in a row and shown to its customer. So it is bounded, and holds only what every database and every reader of
JSON takes: an answer that says something else must not cost the customer its files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from generations.catalogue.extractor import DEPTH_MAX, is_file_url

BYTES_MAX = 256 * 1024
"""As JSON. The longest speech on offer, with the time of each of its letters, is a third of it."""
ENTRIES_MAX = 10_000
"""Of one list or object. What has more is left out whole: a part of it would be taken for all."""
NUMBER_MAX = 2**64
"""Seeds reach up to it. What is larger, infinite or no number is noise, and not every database takes it."""

# The customer has the prompt; whether a picture is blackened stands at its file; the others are fal's bookkeeping.
LEFT_OUT = frozenset({"prompt", "timings", "has_nsfw_concepts", "task_id"})
# fal's own address of a file would outlive the order's access rights and its erasure.
ADDRESS = re.compile(r"(https?://\S*\Z|data:[^\s,]*,)", re.IGNORECASE)
# PostgreSQL's jsonb refuses NUL, and UTF-8 has no lone surrogates.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def extract_details(answer: Any) -> dict[str, Any]:
    """All that can be kept of what stands beside the files. Whatever the answer is, this does not raise."""
    kept = _kept(answer, 0)
    return _within_bounds(kept) if isinstance(kept, dict) else {}


def _kept(node: Any, depth: int) -> Any:
    """What is kept of it; None where nothing is."""
    if isinstance(node, str):
        return None if not node.strip() or ADDRESS.match(node) else _storable(node)
    if isinstance(node, int | float):
        # No comparison holds for what is not a number.
        return node if -NUMBER_MAX <= node <= NUMBER_MAX else None
    if not isinstance(node, Mapping | list) or depth > DEPTH_MAX or len(node) > ENTRIES_MAX:
        return None
    return _kept_of_object(node, depth) if isinstance(node, Mapping) else _kept_of_list(node, depth)


def _kept_of_object(node: Mapping[str, Any], depth: int) -> dict[str, Any] | None:
    if is_file_url(node.get("url")):
        return None
    kept = {_storable(key): _kept(child, depth + 1) for key, child in node.items() if not _is_left_out(key, child)}
    return {key: child for key, child in kept.items() if child is not None} or None


def _kept_of_list(node: list[Any], depth: int) -> list[Any] | None:
    """The places stay what they are: what is left out in between is null."""
    kept = [_kept(child, depth + 1) for child in node]
    return kept if any(child is not None for child in kept) else None


def _is_left_out(key: str, child: Any) -> bool:
    return key in LEFT_OUT or (isinstance(child, str) and key.lower().endswith("url"))


def _storable(text: str) -> str:
    return UNSTORABLE.sub("\ufffd", text)


def _within_bounds(kept: dict[str, Any]) -> dict[str, Any]:
    """Without its largest entries, as many as are too much."""
    # The braces of each make up for the commas and spaces between them.
    sizes = {key: len(json.dumps({key: child})) for key, child in kept.items()}
    excess = sum(sizes.values()) - BYTES_MAX
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        if excess <= 0:
            break
        excess -= sizes[key]
        del kept[key]
    return kept
