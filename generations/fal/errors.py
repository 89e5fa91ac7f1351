"""The errors of the fal client. Each class tells the caller what to do next.

FalError
├── Rejected      fal will never accept the submission: release the hold, do not retry
├── Unavailable   fal did not accept it or has no answer now: retry later
│   └── Unreachable   nothing has left this machine: the network, its settings, or fal is down
├── Forbidden     fal refuses the operator's key or account: retry much later, and alert the operator
├── Gone          fal does not have it, or no longer
└── AnswerLost    fal may have accepted the submission: never repeat it, wait for fal's callback or record

`reason_from` translates fal's error bodies into a `Reason`: a code, and a message for the customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from generations.fal.messages import message_for

Code = Literal[
    "invalid_input", "content_policy", "provider_error", "provider_timeout", "provider_unfunded", "cancelled"
]


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a job failed, or why fal rejected a submission."""

    code: Code
    retryable: bool
    """Whether the same order may succeed another time."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """For `invalid_input`: what is wrong with which input, as {"loc", "msg", "type"}."""
    message: str = ""
    """A sentence for the customer. Empty if the error type is unknown."""
    detail: str = ""
    """fal's own text, for staff only: it may quote the input."""


class FalError(Exception):
    """fal did not do what it was asked to do."""


class Rejected(FalError):
    """fal will never accept this submission."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.detail)
        self.reason = reason


class Unavailable(FalError):
    """fal did not accept the request, or has no answer now."""

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
        """How long fal asks to wait, 0 to 60 seconds, or None."""


class Unreachable(Unavailable):
    """fal was not asked, because there is no connection to it."""


class Forbidden(FalError):
    """fal refuses the key or the account: a wrong key, no balance, or a locked account."""


class Gone(FalError):
    """fal does not have what was asked for, or no longer."""


class AnswerLost(FalError):
    """The request was sent, and no answer came that tells whether fal accepted it."""


# fal's error types (docs/fal.md, sections 4.2 and 4.3): the code, and whether the same order may succeed another time.
# Every type that is not listed comes with status 422 and is about the customer's input.
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
TYPE_CHARACTERS_MAX = 100
DETAIL_CHARACTERS_MAX = 500
DEFAULT_MESSAGE = "The model refused this input."


def reason_from(payload: Any, *, status: int | None = None, error_type: str = "", error: str = "") -> Reason:
    """Translate an error body of fal.

    Args:
        payload: The decoded JSON: {"detail": [{"loc", "msg", "type", "ctx"}]} of a model error, {"detail": "text",
            "error_type": "…"} of a request error, or anything else.
        status: The HTTP status of the error, if it is known.
        error_type: The type that fal names beside the body, in a header or in the status of a job.
        error: The text that fal gives beside the body, in a callback or in the status of a job.
    """
    body = payload if isinstance(payload, Mapping) else {}
    detail = body.get("detail")
    items = [item for item in detail if isinstance(item, Mapping)] if isinstance(detail, list) else []
    # The first entry of a model error is decisive. A request error has a text and a type instead of a list.
    if items:
        kind, text = str(items[0].get("type", "")), items[0].get("msg", "")
    else:
        kind, text = str(body.get("error_type") or error_type), detail if isinstance(detail, str) else error
    code, retryable = _BY_TYPE.get(kind) or _classify_status(status)
    errors = []
    for item in items[:ERRORS_MAX] if code == "invalid_input" else []:
        item_type = clean(str(item.get("type", "")))[:TYPE_CHARACTERS_MAX]
        # fal's own `msg` may quote the input and is kept for staff, in the detail.
        message = message_for(item_type, item.get("ctx")) or DEFAULT_MESSAGE
        location = item["loc"] if isinstance(item.get("loc"), list) else []
        loc = [each if isinstance(each, int) else clean(str(each)) for each in location]
        errors.append({"loc": loc, "msg": message, "type": item_type})
    parts = [str(status or ""), kind, str(text or error)]
    return Reason(
        code=code,
        retryable=retryable,
        errors=errors,
        message=message_for(kind, items[0].get("ctx") if items else None),
        detail=clean(" ".join(part for part in parts if part))[:DETAIL_CHARACTERS_MAX],
    )


def _classify_status(status: int | None) -> tuple[Code, bool]:
    """Return the code of an error without a known type, and whether the same order may succeed another time."""
    # The operator's key, balance or account: not the customer's fault.
    if status in (401, 402, 403):
        return "provider_unfunded", True
    if status in (400, 413, 415, 422):
        return "invalid_input", False
    # fal's status for requests that the client closed or cancelled (docs/fal.md, section 4.3).
    if status == 499:
        return "cancelled", True
    if status == 504:
        return "provider_timeout", True
    return "provider_error", status is None or status >= 500


def clean(text: str) -> str:
    """Return a text of fal's that every database stores: control characters and lone surrogates become spaces."""
    return "".join(c if c.isprintable() else " " for c in text)
