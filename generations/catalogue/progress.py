"""What a model's log line means to the person who waits."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The lines of fal's 3D models and the words for them, in the order in which they come. From the first of the
# services that Limn replaces; other models' lines are shown as they are.
_STAGES = (
    ("initializing model", "Starting 3D model generation…"),
    ("processing image", "Analyzing your image…"),
    ("generating mesh", "Creating 3D geometry…"),
    ("applying textures", "Adding textures to model…"),
    ("optimizing geometry", "Optimizing 3D model…"),
    ("finalizing output", "Completing model generation…"),
    ("upload complete", "Model ready for download!"),
)
_ORDER = {words: index for index, (_, words) in enumerate(_STAGES)}
MESSAGE_CHARACTERS_MAX = 200


@dataclass(frozen=True, kw_only=True)
class Progress:
    message: str
    percent: int | None
    """0 to 100, where the line says so."""


def parse_log_line(line: str) -> Progress:
    """The line in friendly words, and the percentage it names."""
    percent = re.search(r"(?<![\d.])(\d{1,2}|100)(\.\d+)?\s?%", line)
    return Progress(message=_friendly(line), percent=int(percent[1]) if percent else None)


def goes_back(before: str, after: str) -> bool:
    """Whether `after` is an earlier stage than `before`: fal's workers repeat lines when they begin anew."""
    return before in _ORDER and after in _ORDER and _ORDER[after] < _ORDER[before]


def _friendly(line: str) -> str:
    lowered = line.lower()
    known = next((words for begin, words in _STAGES if begin in lowered), None)
    return known or line.strip()[:MESSAGE_CHARACTERS_MAX]
