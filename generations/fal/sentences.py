"""fal's error types as sentences for the person who ordered (fal-facts.md §4.2, §4.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

BUSY = "The provider had too little capacity. Try again."
BROKE = "The provider’s machine broke off. Try again."
SENTENCES = {
    "internal_server_error": "The model failed. Try again.",
    "generation_timeout": "The model took too long. Try again, or ask for less.",
    "downstream_service_error": "A service that the model needs refused the request.",
    "downstream_service_unavailable": "A service that the model needs is out of order. Try again later.",
    "content_policy_violation": "The provider’s content rules refused this. Change the prompt or the image.",
    "no_media_generated": "The model made nothing of this. Describe it in another way.",
    "image_too_small": "The image is too small; the model needs at least {min_width} × {min_height} pixels.",
    "image_too_large": "The image is too large; the model takes at most {max_width} × {max_height} pixels.",
    "image_load_error": "The image could not be opened. Send it as PNG, JPEG or WebP.",
    "file_download_error": "The provider could not download a file that you named. Its address must be public.",
    "face_detection_error": "No face was found in the image.",
    "file_too_large": "The file is too large; the model takes at most {max_size} bytes.",
    "greater_than": "A number is too small: it must be greater than {gt}.",
    "greater_than_equal": "A number is too small: it must be at least {ge}.",
    "less_than": "A number is too large: it must be less than {lt}.",
    "less_than_equal": "A number is too large: it must be at most {le}.",
    "multiple_of": "A number does not fit: it must be a multiple of {multiple_of}.",
    "sequence_too_short": "A list or text is too short: at least {min_length}.",
    "sequence_too_long": "A list or text is too long: at most {max_length}.",
    "one_of": "A value is none of those on offer: {expected}.",
    "feature_not_supported": "The model cannot do this with these inputs.",
    "invalid_archive": "The archive could not be opened.",
    "archive_file_count_below_minimum": "The archive holds too few files: at least {min_count}.",
    "archive_file_count_exceeds_maximum": "The archive holds too many files: at most {max_count}.",
    "audio_duration_too_long": "The sound is too long: at most {max_duration} seconds.",
    "audio_duration_too_short": "The sound is too short: at least {min_duration} seconds.",
    "video_duration_too_long": "The video is too long: at most {max_duration} seconds.",
    "video_duration_too_short": "The video is too short: at least {min_duration} seconds.",
    "unsupported_audio_format": "The model does not take sound in this format; it takes {supported_formats}.",
    "unsupported_image_format": "The model does not take images in this format; it takes {supported_formats}.",
    "unsupported_video_format": "The model does not take videos in this format; it takes {supported_formats}.",
    "request_timeout": "The provider took too long. Try again.",
    "startup_timeout": "No machine of the provider began in time. Try again.",
    "runner_scheduling_failure": BUSY,
    "runner_connection_timeout": BUSY,
    "runner_connection_refused": BUSY,
    "runner_connection_error": BUSY,
    "runner_disconnected": BROKE,
    "runner_incomplete_response": BROKE,
    "runner_server_error": BROKE,
    "client_disconnected": "The order was broken off at the provider. Try again.",
    "bad_request": "The provider could not understand the order.",
    "internal_error": "The provider failed. Try again.",
}
VALUE_CHARACTERS_MAX = 80
# "16:9", "square_hd", "image/png", ".webp"
_WORD = re.compile(r"[A-Za-z0-9:._/+-]{1,20}")


def sentence(kind: str, context: Any) -> str:
    """What fal's error type means, with its limits where fal names them; "" for a type that we do not know."""
    limits = _Limits(context if isinstance(context, Mapping) else {})
    template = SENTENCES.get(kind, "")
    told = template.format_map(limits)
    if limits.is_missing:
        # A limit that fal kept to itself: the half of the sentence that names it is left out.
        return re.split(r"[;:]", template)[0] + "."
    return told


class _Limits(dict[str, str]):
    """fal's limits as words: numbers and short lists, nothing that could carry a text of its own."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        super().__init__({name: words for name, value in context.items() if (words := _words(value))})
        self.is_missing = False

    def __missing__(self, name: str) -> str:
        self.is_missing = True
        return ""


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"
    if isinstance(value, list):
        # All of it or nothing: a part of what is on offer would be a false promise.
        words = [_word(item) for item in value]
        told = ", ".join(words)
        return told if all(words) and len(told) <= VALUE_CHARACTERS_MAX else ""
    return ""


def _word(item: Any) -> str:
    return item if isinstance(item, str) and _WORD.fullmatch(item) else _words(item)
