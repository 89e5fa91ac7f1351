"""The ways in which a job fails at fal: its documented error types, in both of its formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."


@dataclass(frozen=True, kw_only=True)
class ErrorType:
    """One of fal's error types (fal-facts.md §4.2, §4.3)."""

    status: int
    message: str
    from_model: bool = True
    """Model errors come as a list, request errors as a flat text with `error_type`."""
    retryable: bool = False
    context: Mapping[str, Any] = field(default_factory=dict)


def _input(message: str, **context: Any) -> ErrorType:
    return ErrorType(status=422, message=message, context=context)


def _gateway(status: int, message: str) -> ErrorType:
    return ErrorType(status=status, message=message, from_model=False, retryable=status in (500, 502, 503, 504))


MODEL_ERRORS: dict[str, ErrorType] = {
    "internal_server_error": ErrorType(status=500, message="Internal server error", retryable=True),
    "generation_timeout": ErrorType(status=504, message="The generation took too long", retryable=True),
    "downstream_service_error": ErrorType(status=400, message="The downstream service refused the request"),
    "downstream_service_unavailable": ErrorType(status=500, message="The downstream service is down", retryable=True),
    "content_policy_violation": _input("The content could not be processed because it was flagged"),
    "no_media_generated": _input("The model did not generate any media for this prompt"),
    "image_too_small": _input("The image is too small", min_height=300, min_width=300),
    "image_too_large": _input("The image is too large", max_height=4096, max_width=4096),
    "image_load_error": _input("The image could not be loaded"),
    "file_download_error": _input("The file could not be downloaded from the URL"),
    "face_detection_error": _input("No face could be found in the image"),
    "file_too_large": _input("The file is too large", max_size=10_485_760),
    "greater_than": _input("Input should be greater than 0", gt=0),
    "greater_than_equal": _input("Input should be greater than or equal to 1", ge=1),
    "less_than": _input("Input should be less than 100", lt=100),
    "less_than_equal": _input("Input should be less than or equal to 4", le=4),
    "multiple_of": _input("Input should be a multiple of 8", multiple_of=8),
    "sequence_too_short": _input("The list is too short", min_length=1),
    "sequence_too_long": _input("The list is too long", max_length=4),
    "one_of": _input("Input should be one of the values on offer", expected=["1K", "2K", "4K"]),
    "feature_not_supported": _input("This feature is not supported with these inputs"),
    "invalid_archive": _input("The archive could not be opened"),
    "archive_file_count_below_minimum": _input("The archive holds too few files", min_count=4, provided_count=1),
    "archive_file_count_exceeds_maximum": _input("The archive holds too many files", max_count=100),
    "audio_duration_too_long": _input("The audio is too long", max_duration=30, provided_duration=95),
    "audio_duration_too_short": _input("The audio is too short", min_duration=2, provided_duration=1),
    "video_duration_too_long": _input("The video is too long", max_duration=10, provided_duration=62),
    "video_duration_too_short": _input("The video is too short", min_duration=2, provided_duration=1),
    "unsupported_audio_format": _input("This audio format is not supported", supported_formats=["mp3", "wav"]),
    "unsupported_image_format": _input("This image format is not supported", supported_formats=["jpeg", "png"]),
    "unsupported_video_format": _input("This video format is not supported", supported_formats=["mp4"]),
}

REQUEST_ERRORS: dict[str, ErrorType] = {
    "request_timeout": _gateway(504, "Request timed out"),
    "startup_timeout": _gateway(504, "Runner did not start in time"),
    "runner_scheduling_failure": _gateway(503, "Could not schedule a runner"),
    "runner_connection_timeout": _gateway(503, "Connecting to the runner timed out"),
    "runner_disconnected": _gateway(503, "Runner disconnected"),
    "runner_connection_refused": _gateway(503, "Runner refused the connection"),
    "runner_connection_error": _gateway(503, "Could not connect to the runner"),
    "runner_incomplete_response": _gateway(502, "Runner sent an incomplete response"),
    "runner_server_error": _gateway(500, "Runner failed"),
    "client_disconnected": _gateway(499, "Client disconnected"),
    "client_cancelled": _gateway(499, "Request was cancelled by the client"),
    "bad_request": _gateway(400, "Bad request"),
    "internal_error": _gateway(500, "Internal error"),
}

ERRORS: dict[str, ErrorType] = {**MODEL_ERRORS, **REQUEST_ERRORS}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A job that ended without a result."""

    status: int
    body: dict[str, Any]
    error: str
    error_type: str
    retryable: bool = False


def failure(error_type: str, *, field_name: str = "prompt") -> Failure:
    """The failure of this type, in the words and the format that fal gives it."""
    kind = ERRORS[error_type]
    body: dict[str, Any] = {"detail": kind.message, "error_type": error_type}
    if kind.from_model:
        body = {"detail": [_entry(error_type, kind, field_name)]}
    return Failure(status=kind.status, body=body, error=kind.message, error_type=error_type, retryable=kind.retryable)


def invalid_input(errors: list[dict[str, Any]], inputs: Any) -> Failure:
    """What fal says about inputs that its model does not take; it says so only when the job would begin."""
    entries = [{**error, "loc": ["body", *error["loc"]], "input": inputs} for error in errors]
    return Failure(
        status=422, body={"detail": entries}, error=str(entries[0]["msg"]), error_type=str(entries[0]["type"])
    )


def _entry(error_type: str, kind: ErrorType, field_name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "loc": ["body", field_name],
        "msg": kind.message,
        "type": error_type,
        "url": f"https://docs.fal.ai/errors#{error_type}",
    }
    return {**entry, "ctx": dict(kind.context)} if kind.context else entry
