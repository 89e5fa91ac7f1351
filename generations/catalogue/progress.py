"""Translates a line of a model's log into a progress message for the customer.

The reconciler passes each new line of fal's log to the lifecycle, which stores the message and the percentage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Log lines of fal's 3D models and the messages for them, in the order in which they occur. Taken over from the
# image-to-3D service that Limn replaces. Lines of other models are shown unchanged.
_STAGES = (
    ("initializing model", "Starting 3D model generation…"),
    ("processing image", "Analyzing your image…"),
    ("generating mesh", "Creating 3D geometry…"),
    ("applying textures", "Adding textures to model…"),
    ("optimizing geometry", "Optimizing 3D model…"),
    ("finalizing output", "Completing model generation…"),
    ("upload complete", "Model ready for download!"),
)
_STAGE_NUMBERS = {message: number for number, (_, message) in enumerate(_STAGES)}
MESSAGE_CHARACTERS_MAX = 200


@dataclass(frozen=True, kw_only=True)
class Progress:
    message: str
    percent: int | None
    """0 to 100, or None if the line names no percentage."""


def parse_log_line(line: str) -> Progress:
    """Return the message and the percentage of a log line. The message has at most 200 characters."""
    lowered = line.lower()
    known = next((message for marker, message in _STAGES if marker in lowered), None)
    percent = re.search(r"(?<![\d.])(\d{1,2}|100)(\.\d+)?\s?%", line)
    return Progress(
        message=known or line.strip()[:MESSAGE_CHARACTERS_MAX], percent=int(percent[1]) if percent else None
    )


def goes_back(before: str, after: str) -> bool:
    """Return whether the message `after` is of an earlier stage than `before`.

    fal's runners repeat the log from the beginning when a job is restarted; a progress bar should not jump back.
    """
    return before in _STAGE_NUMBERS and after in _STAGE_NUMBERS and _STAGE_NUMBERS[after] < _STAGE_NUMBERS[before]
