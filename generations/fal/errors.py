"""What can go wrong with fal, in few words. Each says what to do.

FalError
├── Rejected      fal will never take this: release, do not retry
├── Unavailable   fal did not take it, or has no answer now: retry later
├── Forbidden     our key or account is refused: retry much later, and page a person
├── Gone          fal no longer has what we ask for
└── AnswerLost    fal may have taken it, and we do not know: never send it again, wait for fal's word
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from generations.fal.sentences import sentence

Code = Literal[
    "invalid_input", "content_policy", "provider_error", "provider_timeout", "provider_unfunded", "cancelled"
]


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why fal did not deliver."""

    code: Code
    retryable: bool
    """Whether the same order may succeed another time."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """For invalid_input: which input, as {"loc", "msg", "type"}."""
    message: str = ""
    """What happened, in a sentence for the customer; "" when fal's type of error is none that we know."""
    detail: str = ""
    """fal's own words, for staff."""


class FalError(Exception):
    """fal did not do what we asked."""


class Rejected(FalError):
    """fal will never take this."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.detail)
        self.reason = reason


class Unavailable(FalError):
    """fal did not take it, or has no answer now."""

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class Forbidden(FalError):
    """Our key or our account is refused: wrong key, no balance, locked."""


class Gone(FalError):
    """fal no longer has it, or never had."""


class AnswerLost(FalError):
    """The request went out and no understandable answer came back."""


# fal's types (fal-facts.md §4.2, §4.3), and what each means to us. Everything else that fal calls a validation
# error has HTTP 422 and is the customer's input.
_BY_TYPE: dict[str, tuple[Code, bool]] = {
    "content_policy_violation": ("content_policy", False),
    "no_media_generated": ("provider_error", False),
    "internal_server_error": ("provider_error", True),
    "generation_timeout": ("provider_timeout", True),
    "downstream_service_error": ("provider_error", True),
    "downstream_service_unavailable": ("provider_error", True),
    "request_timeout": ("provider_timeout", True),
    "startup_timeout": ("provider_timeout", True),
    "runner_scheduling_failure": ("provider_error", True),
    "runner_connection_timeout": ("provider_error", True),
    "runner_disconnected": ("provider_error", True),
    "runner_connection_refused": ("provider_error", True),
    "runner_connection_error": ("provider_error", True),
    "runner_incomplete_response": ("provider_error", True),
    "runner_server_error": ("provider_error", True),
    "client_disconnected": ("provider_error", True),
    "client_cancelled": ("cancelled", True),
    "bad_request": ("invalid_input", False),
    "internal_error": ("provider_error", True),
}
ERRORS_MAX = 20
REFUSED = "The model refused this input."
WORDS_MAX = 500


def reason_from(payload: Any, *, status: int | None = None, error_type: str = "", error: str = "") -> Reason:
    """The reason in a body of fal: {"detail": [{loc, msg, type}]} or {"detail": "text", "error_type": …}.

    `status`, `error_type` and `error` are what was said around the body (HTTP status, header, callback).
    """
    detail = payload.get("detail") if isinstance(payload, Mapping) else None
    items = [item for item in detail if isinstance(item, Mapping)] if isinstance(detail, list) else []
    named = payload.get("error_type") if isinstance(payload, Mapping) else None
    kind = str(items[0].get("type", "")) if items else str(named or error_type)
    code, retryable = _BY_TYPE.get(kind) or _by_status(status)
    return Reason(
        code=code,
        retryable=retryable,
        errors=[_readable(item) for item in items[:ERRORS_MAX]] if code == "invalid_input" else [],
        message=sentence(kind, items[0].get("ctx") if items else None),
        detail=_words(status, kind, items, detail, error),
    )


def _by_status(status: int | None) -> tuple[Code, bool]:
    if status in (401, 402, 403):
        return "provider_unfunded", True
    if status in (400, 413, 415, 422):
        return "invalid_input", False
    if status == 499:
        return "cancelled", True
    if status == 504:
        return "provider_timeout", True
    return "provider_error", status is None or status >= 500


def _readable(item: Mapping[str, Any]) -> dict[str, Any]:
    """Which input, for its owner. What fal itself says of it is for staff, in the reason's detail."""
    loc, kind = item.get("loc"), clean(str(item.get("type", "")))[:100]
    return {
        "loc": [part if isinstance(part, int) else clean(str(part)) for part in loc] if isinstance(loc, list) else [],
        "msg": sentence(kind, item.get("ctx")) or REFUSED,
        "type": kind,
    }


def _words(status: int | None, kind: str, items: list[Mapping[str, Any]], detail: Any, error: str) -> str:
    said = items[0].get("msg", "") if items else detail if isinstance(detail, str) else error
    parts = [str(status or ""), kind, str(said or error)]
    return clean(" ".join(part for part in parts if part))[:WORDS_MAX]


def clean(text: str) -> str:
    """Text from outside, made storable: no NUL, no lone surrogates, no control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
