"""Why a generation ends without a result, in words for its owner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from generations.fal import Reason
from generations.models import CancelledBy, FailureCode, Generation


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a generation failed, for the customer; `detail` is for staff."""

    code: FailureCode
    message: str
    retryable: bool
    errors: list[dict[str, Any]] = field(default_factory=list)
    detail: str = ""


MESSAGES = {
    FailureCode.INVALID_INPUT: "The model refused these inputs.",
    FailureCode.CONTENT_POLICY: "The provider's content rules refused this. Change the prompt or the image.",
    FailureCode.PROVIDER_ERROR: "The provider failed to make this.",
    FailureCode.PROVIDER_TIMEOUT: "The provider took too long.",
    FailureCode.PROVIDER_UNFUNDED: "The service cannot order from its provider at the moment.",
    FailureCode.RESULT_EXPIRED: "The result was gone before it could be fetched.",
    FailureCode.COPY_FAILED: "The result could not be copied into storage.",
    FailureCode.SUBMISSION_UNKNOWN: "It never became clear whether the provider took this order.",
    FailureCode.CANCELLED: "Cancelled.",
    FailureCode.DEADLINE: "This was not finished in time.",
}


def failure(code: FailureCode, *, retryable: bool = True, detail: str = "") -> Failure:
    return Failure(code=code, message=MESSAGES[code], retryable=retryable, detail=detail)


def failure_for(generation: Generation, reason: Reason) -> Failure:
    code, message = FailureCode(reason.code), reason.message
    if code == FailureCode.CANCELLED and generation.cancel_asked_by == CancelledBy.DEADLINE:
        code, message = FailureCode.DEADLINE, ""
    elif code == FailureCode.CANCELLED and not generation.cancel_asked_by:
        code = FailureCode.PROVIDER_ERROR
    return Failure(
        code=code,
        message=message or MESSAGES[code],
        retryable=reason.retryable,
        errors=reason.errors,
        detail=reason.detail,
    )
