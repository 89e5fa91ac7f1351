"""fal's documented error types, and the JSON with which a failed job is answered.

The outcome builder turns a `fail` scenario or invalid inputs into a `Failure` here. The scenario table lists the same
types as the choices of `fail`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ACCOUNT_LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."


@dataclass(frozen=True, kw_only=True)
class ErrorType:
    """How fal reports one error type (docs/fal.md)."""

    status: int
    message: str
    from_model: bool = True
    """Errors of the model have a list of details, errors of the request a text and `error_type`."""
    retryable: bool = False
    context: Mapping[str, Any] = field(default_factory=dict)
    """The limits that were exceeded, as `ctx` of the detail."""


def _input_error(message: str, **context: Any) -> ErrorType:
    return ErrorType(status=422, message=message, context=context)


def _request_error(status: int, message: str) -> ErrorType:
    return ErrorType(status=status, message=message, from_model=False, retryable=status in (500, 502, 503, 504))


MODEL_ERRORS: dict[str, ErrorType] = {
    "internal_server_error": ErrorType(status=500, message="Internal server error", retryable=True),
    "generation_timeout": ErrorType(status=504, message="The generation took too long", retryable=True),
    "downstream_service_error": ErrorType(status=400, message="The downstream service refused the request"),
    "downstream_service_unavailable": ErrorType(status=500, message="The downstream service is down", retryable=True),
    "content_policy_violation": _input_error("The content could not be processed because it was flagged"),
    "no_media_generated": _input_error("The model did not generate any media for this prompt"),
    "image_too_small": _input_error("The image is too small", min_height=300, min_width=300),
    "image_too_large": _input_error("The image is too large", max_height=4096, max_width=4096),
    "image_load_error": _input_error("The image could not be loaded"),
    "file_download_error": _input_error("The file could not be downloaded from the URL"),
    "face_detection_error": _input_error("No face could be found in the image"),
    "file_too_large": _input_error("The file is too large", max_size=10_485_760),
    "greater_than": _input_error("Input should be greater than 0", gt=0),
    "greater_than_equal": _input_error("Input should be greater than or equal to 1", ge=1),
    "less_than": _input_error("Input should be less than 100", lt=100),
    "less_than_equal": _input_error("Input should be less than or equal to 4", le=4),
    "multiple_of": _input_error("Input should be a multiple of 8", multiple_of=8),
    "sequence_too_short": _input_error("The list is too short", min_length=1),
    "sequence_too_long": _input_error("The list is too long", max_length=4),
    "one_of": _input_error("Input should be one of the values on offer", expected=["1K", "2K", "4K"]),
    "feature_not_supported": _input_error("This feature is not supported with these inputs"),
    "invalid_archive": _input_error("The archive could not be opened"),
    "archive_file_count_below_minimum": _input_error("The archive holds too few files", min_count=4, provided_count=1),
    "archive_file_count_exceeds_maximum": _input_error("The archive holds too many files", max_count=100),
    "audio_duration_too_long": _input_error("The audio is too long", max_duration=30, provided_duration=95),
    "audio_duration_too_short": _input_error("The audio is too short", min_duration=2, provided_duration=1),
    "video_duration_too_long": _input_error("The video is too long", max_duration=10, provided_duration=62),
    "video_duration_too_short": _input_error("The video is too short", min_duration=2, provided_duration=1),
    "unsupported_audio_format": _input_error("This audio format is not supported", supported_formats=["mp3", "wav"]),
    "unsupported_image_format": _input_error("This image format is not supported", supported_formats=["jpeg", "png"]),
    "unsupported_video_format": _input_error("This video format is not supported", supported_formats=["mp4"]),
}

REQUEST_ERRORS: dict[str, ErrorType] = {
    "request_timeout": _request_error(504, "Request timed out"),
    "startup_timeout": _request_error(504, "Runner did not start in time"),
    "runner_scheduling_failure": _request_error(503, "Could not schedule a runner"),
    "runner_connection_timeout": _request_error(503, "Connecting to the runner timed out"),
    "runner_disconnected": _request_error(503, "Runner disconnected"),
    "runner_connection_refused": _request_error(503, "Runner refused the connection"),
    "runner_connection_error": _request_error(503, "Could not connect to the runner"),
    "runner_incomplete_response": _request_error(502, "Runner sent an incomplete response"),
    "runner_server_error": _request_error(500, "Runner failed"),
    "client_disconnected": _request_error(499, "Client disconnected"),
    "client_cancelled": _request_error(499, "Request was cancelled by the client"),
    "bad_request": _request_error(400, "Bad request"),
    "internal_error": _request_error(500, "Internal error"),
}

ERRORS: dict[str, ErrorType] = {**MODEL_ERRORS, **REQUEST_ERRORS}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The outcome of a job that has no result."""

    status: int
    """HTTP status of the result URL."""
    body: dict[str, Any]
    error: str
    error_type: str
    retryable: bool = False


def failure(error_type: str, *, field_name: str = "prompt") -> Failure:
    """Return the failure of this type, as fal words and formats it.

    Args:
        field_name: The input that an error of the model names.
    """
    kind = ERRORS[error_type]
    if kind.from_model:
        entry: dict[str, Any] = {
            "loc": ["body", field_name],
            "msg": kind.message,
            "type": error_type,
            "url": f"https://docs.fal.ai/errors#{error_type}",
        }
        if kind.context:
            entry["ctx"] = dict(kind.context)
        body: dict[str, Any] = {"detail": [entry]}
    else:
        body = {"detail": kind.message, "error_type": error_type}
    return Failure(status=kind.status, body=body, error=kind.message, error_type=error_type, retryable=kind.retryable)


def invalid_input(errors: list[dict[str, Any]], inputs: Any) -> Failure:
    """Return the failure for inputs that the catalogue refuses.

    Args:
        errors: The entries of `InvalidInput.errors`.
        inputs: What the client sent; fal quotes it in each entry.
    """
    entries = [{**error, "loc": ["body", *error["loc"]], "input": inputs} for error in errors]
    return Failure(
        status=422, body={"detail": entries}, error=str(entries[0]["msg"]), error_type=str(entries[0]["type"])
    )
