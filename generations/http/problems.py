"""What went wrong, as RFC 9457 problem documents. Every error below /api/ leaves through here.

A new problem is one line of PROBLEMS; how an exception of the floors below is told is one line of _TELLING.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, JsonResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from credits.ledger import InsufficientCredits
from accounts import api_keys
from generations.ordering import quotas, input_files
from generations.safe_http import concurrency
from generations.files import sandbox, uploads
from generations.catalogue import InvalidInput, UnknownModel
from generations.ordering.orders import IdempotencyKeyReused, DuplicateOrder, ProviderUnfunded
from generations.lifecycle import NotEnded, StillNeeded
from notifications.endpoints import EndpointOff, NoThreshold, TooManyEndpoints

MEDIA_TYPE = "application/problem+json"

PROBLEMS = {
    "malformed": (400, "The request cannot be understood"),
    "not_authenticated": (401, "Who is asking?"),
    "insufficient_credits": (402, "Not enough credits"),
    "max_credits_exceeded": (402, "It costs more than you allowed"),
    "spend_cap_reached": (402, "As much is spent as may be"),
    "not_allowed": (403, "This is not yours to do"),
    "model_not_allowed": (403, "This key does not open that model"),
    "not_found": (404, "There is no such thing"),
    "model_not_found": (404, "There is no such model"),
    "method_not_allowed": (405, "This address does not take that method"),
    "not_acceptable": (406, "There is no such representation"),
    "already_finished": (409, "It is finished already"),
    "duplicate_request": (409, "You have ordered this just now"),
    "not_finished": (409, "It is not finished yet"),
    "endpoint_off": (409, "The endpoint hears nothing at the moment"),
    "too_many_endpoints": (409, "There are as many endpoints as there may be"),
    "not_uploaded": (409, "The upload has no bytes yet"),
    "upload_busy": (409, "The upload is being looked at"),
    "in_use": (409, "A generation needs it"),
    "upload_expired": (410, "The upload was not completed in time"),
    "length_required": (411, "The body must say how long it is"),
    "too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be JSON"),
    "storage_full": (413, "There is no room left"),
    "range_not_satisfiable": (416, "The file has no such range"),
    "invalid_input": (422, "The input does not fit"),
    "not_a_picture": (422, "What was put is not a picture"),
    "upload_mismatch": (422, "Other bytes came than were announced"),
    "idempotency_mismatch": (422, "The Idempotency-Key belongs to another request"),
    "rate_limited": (429, "Too many requests"),
    "too_many_running": (429, "Too many generations are under way"),
    "internal_error": (500, "A fault of ours"),
    "provider_unfunded": (503, "Nothing can be ordered at the moment"),
    "paused": (503, "New orders are paused"),
    "files_unreachable": (503, "The provider could not fetch our files"),
    "unavailable": (503, "Out of order for a moment"),
}
# A database that restarts is back in less, and no caller is in a greater hurry.
RETRY_AFTER_SECONDS = 5
# A person has to mend it, and our own probes go out no more often.
UNFUNDED_RETRY_AFTER_SECONDS = 30


class Problem(Exception):
    """An error that its reader can act upon. `extra` becomes members of the document."""

    def __init__(
        self, code: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **extra: object
    ) -> None:
        self.code = code
        self.status, self.title = PROBLEMS[code]
        self.detail = detail or f"{self.title}."
        self.headers = dict(headers or {})
        self.extra = extra
        super().__init__(self.detail)

    def document(self, path: str) -> dict[str, Any]:
        return {
            "type": f"urn:limn:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": path,
            "code": self.code,
            **self.extra,
        }


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's hook. None means that nobody foresaw it: Django logs it, and `response` answers without details."""
    problem = translate(error)
    if problem is None:
        return None
    document = problem.document(context["request"].path)
    return Response(document, status=problem.status, headers=problem.headers, content_type=MEDIA_TYPE)


def response(problem: Problem, path: str) -> JsonResponse:
    """For the errors that happen before or outside DRF's views."""
    return JsonResponse(problem.document(path), status=problem.status, headers=problem.headers, content_type=MEDIA_TYPE)


def unavailable() -> Problem:
    return Problem("unavailable", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def translate(error: BaseException) -> Problem | None:
    for kind, tell in _TELLING.items():
        if isinstance(error, kind):
            return tell(error)
    return None


def _poor(error: Any) -> Problem:
    return Problem("insufficient_credits", str(error), needed=error.needed, available=error.available)


def _ordered_just_now(error: Any) -> Problem:
    detail = "You ordered the same within the last minutes. If you mean it, send it again with allow_duplicate: true."
    return Problem("duplicate_request", detail, earlier=str(error.earlier.pk))


def _unfunded(error: Any) -> Problem:
    return Problem("provider_unfunded", str(error), headers={"Retry-After": str(UNFUNDED_RETRY_AFTER_SECONDS)})


def _too_many_running(error: Any) -> Problem:
    headers = {"Retry-After": str(quotas.RUNNING_RETRY_AFTER_SECONDS)}
    return Problem("too_many_running", str(error), headers=headers, running=error.running, limit=error.limit)


def _spend_cap(error: Any) -> Problem:
    until = error.until.isoformat() if error.until else None
    numbers = {"needed": error.needed, "spent": error.spent, "cap": error.cap}
    return Problem("spend_cap_reached", str(error), period=error.period, until=until, **numbers)


def _paused(error: Any) -> Problem:
    return Problem("paused", str(error), headers={"Retry-After": str(quotas.PAUSED_RETRY_AFTER_SECONDS)})


def _busy(error: Any) -> Problem:
    return Problem("rate_limited", str(error), headers={"Retry-After": str(concurrency.RETRY_AFTER_SECONDS)})


def _unknown_caller(error: Any) -> Problem:
    return Problem("not_authenticated", str(error.detail), headers={"WWW-Authenticate": error.auth_header})


def _no_threshold(error: Any) -> Problem:
    wrong = {"loc": ["credits_low_at"], "msg": str(error), "type": "missing"}
    return Problem("invalid_input", str(error), errors=[wrong])


def _throttled(error: Any) -> Problem:
    return Problem("rate_limited", headers={"Retry-After": str(max(1, int(error.wait or 1)))})


def _bad_parameters(error: Any) -> Problem:
    return Problem("malformed", errors=list(_parameter_errors(error.detail)))


def _parameter_errors(detail: Any) -> Iterator[dict[str, Any]]:
    for name, errors in detail.items():
        for error in errors:
            yield {"loc": ["query", name], "msg": str(error), "type": error.code}


def _always(code: str) -> Callable[[Any], Problem]:
    return lambda error: Problem(code)


def _in_its_words(code: str) -> Callable[[Any], Problem]:
    return lambda error: Problem(code, str(error))


# From the particular to the general: the first that fits tells it.
_TELLING: dict[type[BaseException], Callable[[Any], Problem]] = {
    Problem: lambda error: error,
    InsufficientCredits: _poor,
    UnknownModel: _in_its_words("model_not_found"),
    InvalidInput: lambda error: Problem("invalid_input", str(error), errors=error.errors),
    NotEnded: _in_its_words("not_finished"),
    StillNeeded: _in_its_words("in_use"),
    DuplicateOrder: _ordered_just_now,
    IdempotencyKeyReused: _in_its_words("idempotency_mismatch"),
    ProviderUnfunded: _unfunded,
    EndpointOff: _in_its_words("endpoint_off"),
    NoThreshold: _no_threshold,
    TooManyEndpoints: _in_its_words("too_many_endpoints"),
    quotas.Paused: _paused,
    quotas.TooManyRunning: _too_many_running,
    quotas.SpendCapReached: _spend_cap,
    quotas.ModelNotAllowed: _in_its_words("model_not_allowed"),
    api_keys.TooStrong: _in_its_words("not_allowed"),
    uploads.NotUploaded: _in_its_words("not_uploaded"),
    uploads.InProgress: lambda error: Problem("upload_busy", str(error), headers={"Retry-After": "1"}),
    uploads.NotAPicture: lambda error: Problem("not_a_picture", f"It cannot be used: {error}."),
    uploads.Expired: _in_its_words("upload_expired"),
    uploads.InUse: _in_its_words("in_use"),
    uploads.QuotaExceeded: _in_its_words("storage_full"),
    uploads.Mismatch: _in_its_words("upload_mismatch"),
    uploads.StorageUnavailable: lambda error: unavailable(),
    sandbox.SandboxUnavailable: lambda error: unavailable(),
    concurrency.Busy: _busy,
    input_files.FilesUnreachable: _in_its_words("files_unreachable"),
    # What is missing and what is somebody else's must sound alike.
    Http404: _always("not_found"),
    exceptions.NotFound: _always("not_found"),
    exceptions.NotAuthenticated: _unknown_caller,
    exceptions.AuthenticationFailed: _unknown_caller,
    exceptions.PermissionDenied: _in_its_words("not_allowed"),
    DjangoPermissionDenied: _always("not_allowed"),
    exceptions.ValidationError: _bad_parameters,
    exceptions.ParseError: _in_its_words("malformed"),
    exceptions.MethodNotAllowed: _in_its_words("method_not_allowed"),
    exceptions.NotAcceptable: _always("not_acceptable"),
    exceptions.UnsupportedMediaType: _in_its_words("unsupported_media_type"),
    exceptions.Throttled: _throttled,
    RequestDataTooBig: _always("too_large"),
    SuspiciousOperation: _always("malformed"),
    # The caller hung up while we were reading.
    UnreadablePostError: _always("malformed"),
}
