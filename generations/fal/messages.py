"""Messages for customers about fal's errors, by fal's error types.

The types are those of docs/fal.md, sections 4.2 and 4.3. `errors.reason_from` is the only caller. fal's own texts are
kept for staff and never shown to customers, because they may quote the input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

BUSY = "The provider had too little capacity. Try again."
CONNECTION_LOST = "The provider lost the connection to its machine. Try again."
MESSAGES = {
    "internal_server_error": "The model failed. Try again.",
    "generation_timeout": "The model took too long. Try again, or order something smaller.",
    "downstream_service_error": "A service that the model depends on refused the request.",
    "downstream_service_unavailable": "A service that the model depends on is not available. Try again later.",
    "content_policy_violation": "The provider’s content rules refused this. Change the prompt or the image.",
    "no_media_generated": "The model returned no result for these inputs. Change the prompt.",
    "image_too_small": "The image is too small; the model needs at least {min_width} × {min_height} pixels.",
    "image_too_large": "The image is too large; the model takes at most {max_width} × {max_height} pixels.",
    "image_load_error": "The image could not be opened. Send it as PNG, JPEG or WebP.",
    "file_download_error": "The provider could not download an input file. Its URL must be public.",
    "face_detection_error": "No face was found in the image.",
    "file_too_large": "The file is too large; the model takes at most {max_size} bytes.",
    "greater_than": "A number is too small: it must be greater than {gt}.",
    "greater_than_equal": "A number is too small: it must be at least {ge}.",
    "less_than": "A number is too large: it must be less than {lt}.",
    "less_than_equal": "A number is too large: it must be at most {le}.",
    "multiple_of": "A number does not fit: it must be a multiple of {multiple_of}.",
    "sequence_too_short": "A list or text is too short: at least {min_length}.",
    "sequence_too_long": "A list or text is too long: at most {max_length}.",
    "one_of": "A value is not one of those allowed: {expected}.",
    "feature_not_supported": "The model cannot do this with these inputs.",
    "invalid_archive": "The archive could not be opened.",
    "archive_file_count_below_minimum": "The archive has too few files: at least {min_count}.",
    "archive_file_count_exceeds_maximum": "The archive has too many files: at most {max_count}.",
    "audio_duration_too_long": "The audio is too long: at most {max_duration} seconds.",
    "audio_duration_too_short": "The audio is too short: at least {min_duration} seconds.",
    "video_duration_too_long": "The video is too long: at most {max_duration} seconds.",
    "video_duration_too_short": "The video is too short: at least {min_duration} seconds.",
    "unsupported_audio_format": "The model does not take audio in this format; it takes {supported_formats}.",
    "unsupported_image_format": "The model does not take images in this format; it takes {supported_formats}.",
    "unsupported_video_format": "The model does not take videos in this format; it takes {supported_formats}.",
    "request_timeout": "The provider took too long. Try again.",
    "startup_timeout": "The provider did not start the job in time. Try again.",
    "runner_scheduling_failure": BUSY,
    "runner_connection_timeout": BUSY,
    "runner_connection_refused": BUSY,
    "runner_connection_error": BUSY,
    "runner_disconnected": CONNECTION_LOST,
    "runner_incomplete_response": CONNECTION_LOST,
    "runner_server_error": CONNECTION_LOST,
    "client_disconnected": "The job was aborted at the provider. Try again.",
    "bad_request": "The provider could not understand the request.",
    "internal_error": "The provider failed. Try again.",
}
VALUE_CHARACTERS_MAX = 80
# Plain values of a list: "16:9", "square_hd", "image/png", ".webp".
_WORD = re.compile(r"[A-Za-z0-9:._/+-]{1,20}")


def message_for(error_type: str, context: Any) -> str:
    """Return the message for one of fal's error types.

    Args:
        error_type: fal's `type` of a model error, or its `error_type` of a request error.
        context: fal's `ctx` of the error, an object with the limits that were exceeded; any type.

    Returns:
        A sentence with the limits that fal names, without those that it does not; "" for an unknown type.
    """
    template = MESSAGES.get(error_type, "")
    limits = context.items() if isinstance(context, Mapping) else ()
    try:
        return template.format_map({name: text for name, value in limits if (text := _as_text(value))})
    except KeyError:
        # A limit is missing or not fit to be shown. The template names it behind a semicolon or colon.
        return re.split(r"[;:]", template)[0] + "."


def _as_text(value: Any, *, in_list: bool = False) -> str:
    """Return a number or a short list of plain words; "" for anything that could carry a text of its own."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"
    if isinstance(value, str):
        return value if in_list and _WORD.fullmatch(value) else ""
    if isinstance(value, list):
        words = [_as_text(item, in_list=True) for item in value]
        # The whole list or nothing: part of it would look like all that is allowed.
        text = ", ".join(words)
        return text if all(words) and len(text) <= VALUE_CHARACTERS_MAX else ""
    return ""
