"""Why a generation ended without a result: a code for programs and a message for the customer.

Every failure of the lifecycle is made here, so that each code has one message. fal's own words go to staff only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generations.fal import Reason
from generations.models import CancelledBy, FailureCode, Generation


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a generation failed."""

    code: FailureCode
    message: str
    """For the customer."""
    retryable: bool
    """Whether the same order may succeed if it is placed again."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """For `invalid_input`: the wrong inputs, as {"loc", "msg", "type"}."""
    detail: str = ""
    """For staff: fal's own words, or what went wrong in Limn."""


MESSAGES = {
    FailureCode.INVALID_INPUT: "The model refused these inputs.",
    FailureCode.CONTENT_POLICY: "The provider's content policy refused this. Change the prompt or the image.",
    FailureCode.PROVIDER_ERROR: "The provider failed to generate this.",
    FailureCode.PROVIDER_TIMEOUT: "The provider took too long.",
    FailureCode.PROVIDER_UNFUNDED: "The service cannot order from its provider at the moment.",
    FailureCode.RESULT_EXPIRED: "The result expired before it could be copied.",
    FailureCode.COPY_FAILED: "The result could not be copied into storage.",
    FailureCode.SUBMISSION_UNKNOWN: "It could not be determined whether the provider accepted this order.",
    FailureCode.CANCELLED: "Cancelled.",
    FailureCode.DEADLINE: "This was not finished in time.",
    FailureCode.INTERNAL_ERROR: "An error of this service prevented it. The operator has been notified.",
}


def failure(code: FailureCode, *, retryable: bool = True, message: str = "", detail: str = "") -> Failure:
    """Return a failure, with the standard message of its code if none is given. `detail` is for staff."""
    return Failure(code=code, message=message or MESSAGES[code], retryable=retryable, detail=detail)


def failure_for(generation: Generation, reason: Reason) -> Failure:
    """Return the failure of this generation for a reason that fal gave."""
    code, message = FailureCode(reason.code), reason.message
    if any(_is_of_own_file(generation, error) for error in reason.errors):
        # The customer cannot make a file of Limn's storage public.
        return failure(FailureCode.INTERNAL_ERROR, detail=f"fal could not download Limn's own file: {reason.detail}")
    if code == FailureCode.CANCELLED and generation.cancel_asked_by == CancelledBy.DEADLINE:
        # Limn cancelled it itself because its time was over.
        code, message = FailureCode.DEADLINE, ""
    elif code == FailureCode.CANCELLED and not generation.cancel_asked_by:
        # Cancelled at fal by something else: the customer did not ask for it.
        code = FailureCode.PROVIDER_ERROR
    return Failure(
        code=code,
        message=message or MESSAGES[code],
        retryable=reason.retryable,
        errors=reason.errors,
        detail=reason.detail,
    )


def _is_of_own_file(generation: Generation, error: Mapping[str, Any]) -> bool:
    """Return whether fal could not download an input file that Limn has signed a URL for."""
    if error.get("type") != "file_download_error":
        return False
    # ["body", "image_urls", 0] is image_urls[0].
    names = [f"[{name}]" if isinstance(name, int) else f".{name}" for name in error["loc"][1:]]
    return generation.input_files.filter(path="".join(names).removeprefix(".")).exists()
