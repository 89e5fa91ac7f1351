"""Extracts what an answer of fal says beside its files: the seed, a description, the time of each spoken word.

The lifecycle stores the result with the generation and shows it to the customer. The result is bounded and holds only
JSON that every database takes, because an unusual answer must not cost the customer the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from generations.catalogue.extractor import DEPTH_MAX, is_file_url
from generations.catalogue.unstorable import UNSTORABLE

BYTES_MAX = 256 * 1024
"""Of the details as JSON. The longest speech on offer, with the time of each letter, takes a third of it."""
ENTRIES_MAX = 10_000
"""Of one list or object. A larger one is left out as a whole: a part of it would be mistaken for all of it."""
NUMBER_MAX = 2**64
"""Seeds reach up to here. Larger numbers, infinity and NaN are noise, and not every database stores them."""

# The generation has the prompt and the file has its safety flag; timings and task IDs are fal's bookkeeping.
LEFT_OUT = frozenset({"prompt", "timings", "has_nsfw_concepts", "task_id"})
# fal's own URL of a file would outlive the customer's access to it and its erasure.
FILE_ADDRESS = re.compile(r"(https?://\S*\Z|data:[^\s,]*,)", re.IGNORECASE)


def extract_details(answer: Any) -> dict[str, Any]:
    """Return everything that can be stored of an answer except its files. Never raises.

    Args:
        answer: The decoded JSON of fal's answer; any type and any content.
    """
    kept = _storable(answer, 0)
    if not isinstance(kept, dict):
        return {}
    # The braces of each entry measured alone make up for the commas and spaces between the entries.
    sizes = {key: len(json.dumps({key: child})) for key, child in kept.items()}
    excess = sum(sizes.values()) - BYTES_MAX
    # The largest entries go first, so that the seed survives. The key decides between equals: always the same way.
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        if excess <= 0:
            break
        excess -= sizes[key]
        del kept[key]
    return kept


def _storable(node: Any, depth: int) -> Any:
    """Return the part of a JSON value that can be stored, or None if nothing of it can."""
    if isinstance(node, str):
        return None if not node.strip() or FILE_ADDRESS.match(node) else UNSTORABLE.sub("\ufffd", node)
    if isinstance(node, int | float):
        # NaN fails every comparison and is left out too.
        return node if -NUMBER_MAX <= node <= NUMBER_MAX else None
    if not isinstance(node, Mapping | list) or depth > DEPTH_MAX or len(node) > ENTRIES_MAX:
        return None
    if isinstance(node, list):
        # Entries keep their places: what is left out becomes null.
        entries = [_storable(child, depth + 1) for child in node]
        return entries if any(entry is not None for entry in entries) else None
    if is_file_url(node.get("url")):
        return None
    members: dict[str, Any] = {}
    for key, child in node.items():
        is_address = isinstance(child, str) and key.lower().endswith("url")
        if key not in LEFT_OUT and not is_address and (value := _storable(child, depth + 1)) is not None:
            members[UNSTORABLE.sub("\ufffd", key)] = value
    return members or None
