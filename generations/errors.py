"""Errors that several packages of the generations app raise, and those of HTTP itself.

DomainError
├── Malformed, NotAuthenticated, NotAllowed, NotFound, MethodNotAllowed, NotAcceptable, LengthRequired, TooLarge,
│   UnsupportedMediaType, RangeNotSatisfiable, RateLimited   what is wrong with the request itself
├── NotFinished, AlreadyFinished, NotCompleted, InUse        the generation is in another state
├── MaxCreditsExceeded, PriceChanged, ProviderUnfunded       the order cannot be placed
└── InternalError, Unavailable                               an error of Limn

Every other error of the app stands beside the code that raises it, and derives from `DomainError` as well.
"""

from __future__ import annotations

from typing import Any

from errors import DomainError, subclasses

__all__ = [
    "AlreadyFinished",
    "DomainError",
    "InUse",
    "InternalError",
    "LengthRequired",
    "Malformed",
    "MaxCreditsExceeded",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotAllowed",
    "NotAuthenticated",
    "NotCompleted",
    "NotFinished",
    "NotFound",
    "PriceChanged",
    "ProviderUnfunded",
    "RangeNotSatisfiable",
    "RateLimited",
    "TooLarge",
    "Unavailable",
    "UnsupportedMediaType",
    "subclasses",
]

# A database that restarts is back sooner than this.
UNAVAILABLE_RETRY_AFTER_SECONDS = 5
# An operator has to act first, and the circuit breaker's own probes are no more frequent.
UNFUNDED_RETRY_AFTER_SECONDS = 30


class Malformed(DomainError):
    code, status, title = "malformed", 400, "Malformed request"


class NotAuthenticated(DomainError):
    code, status, title = "not_authenticated", 401, "Authentication required"


class MaxCreditsExceeded(DomainError):
    """The price is higher than the `max_credits` of the order."""

    code, status, title = "max_credits_exceeded", 402, "Price above max_credits"

    def __init__(self, *, needed: int, max_credits: int) -> None:
        super().__init__(f"This costs {needed} credits, and max_credits is {max_credits}.", needed=needed)
        self.needed = needed


class NotAllowed(DomainError):
    code, status, title = "not_allowed", 403, "Permission denied"


class NotFound(DomainError):
    """There is no such thing, or it belongs to another user: both must look the same."""

    code, status, title = "not_found", 404, "Not found"


class MethodNotAllowed(DomainError):
    code, status, title = "method_not_allowed", 405, "Method not allowed"


class NotAcceptable(DomainError):
    code, status, title = "not_acceptable", 406, "Not acceptable"


class AlreadyFinished(DomainError):
    code, status, title = "already_finished", 409, "Already finished"


class NotFinished(DomainError):
    code, status, title = "not_finished", 409, "Not finished"


class NotCompleted(DomainError):
    """Only a completed generation can be ordered again."""

    code, status, title = "not_completed", 409, "Not completed"


class PriceChanged(DomainError):
    """The price is another one than the client has agreed to. `needed` is the current price."""

    code, status, title = "price_changed", 409, "Price changed"

    def __init__(self, *, needed: int, agreed: int) -> None:
        super().__init__(f"This costs {needed} credits, not {agreed}. Nothing was ordered.", needed=needed)
        self.needed = needed


class InUse(DomainError):
    """A generation that has not ended needs it."""

    code, status, title = "in_use", 409, "In use"


class LengthRequired(DomainError):
    code, status, title = "length_required", 411, "Content-Length required"


class TooLarge(DomainError):
    code, status, title = "too_large", 413, "Request body too large"


class UnsupportedMediaType(DomainError):
    code, status, title = "unsupported_media_type", 415, "Unsupported media type"


class RangeNotSatisfiable(DomainError):
    code, status, title = "range_not_satisfiable", 416, "Range not satisfiable"


class RateLimited(DomainError):
    code, status, title = "rate_limited", 429, "Too many requests"


class InternalError(DomainError):
    code, status, title = "internal_error", 500, "Internal error"


class ProviderUnfunded(DomainError):
    """fal refuses Limn's key or account. Nothing can be ordered until an operator has resolved that."""

    code, status, title = "provider_unfunded", 503, "Provider account unavailable"
    default_detail = "The service cannot order from its provider at the moment."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(UNFUNDED_RETRY_AFTER_SECONDS)})


class Unavailable(DomainError):
    """The database, the storage or a helper process does not answer at the moment."""

    code, status, title = "unavailable", 503, "Service unavailable"

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail, headers={"Retry-After": str(UNAVAILABLE_RETRY_AFTER_SECONDS)}, **extra)
