"""Renders errors as RFC 9457 problem documents. Every error below /api/ is rendered here.

A `DomainError` carries its own code, status and title. Exceptions of DRF and Django are translated to one. Anything
else is a bug: Django logs it, and the client gets `internal_error` without details.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, JsonResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from generations.errors import (
    DomainError,
    Malformed,
    MethodNotAllowed,
    NotAcceptable,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    TooLarge,
    UnsupportedMediaType,
)

MEDIA_TYPE = "application/problem+json"


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the problem document of an error, or None for an unexpected one, which Django answers with 500."""
    problem = translate(error)
    if problem is None:
        return None
    body = document(problem, context["request"].path)
    return Response(body, status=problem.status, headers=problem.headers, content_type=MEDIA_TYPE)


def response(problem: DomainError, path: str) -> JsonResponse:
    """Return the response for an error that happens before or outside DRF's views."""
    return JsonResponse(
        document(problem, path), status=problem.status, headers=problem.headers, content_type=MEDIA_TYPE
    )


def document(problem: DomainError, path: str) -> dict[str, Any]:
    """Return the members of the problem document. `path` is the path of the request."""
    return {
        "type": f"urn:limn:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": path,
        "code": problem.code,
        **problem.extra,
    }


def translate(error: BaseException) -> DomainError | None:
    """Return the domain error that stands for `error`; None if it is an unexpected one."""
    if isinstance(error, DomainError):
        return error
    for kind, to_problem in _TRANSLATIONS.items():
        if isinstance(error, kind):
            return to_problem(error)
    return None


def _not_authenticated(error: Any) -> DomainError:
    return NotAuthenticated(str(error.detail), headers={"WWW-Authenticate": error.auth_header})


# Ordered from the specific to the general: the first class that matches is used.
_TRANSLATIONS: dict[type[BaseException], Callable[[Any], DomainError]] = {
    # The detail is left out: a missing row and another user's row must look the same.
    Http404: lambda error: NotFound(),
    exceptions.NotFound: lambda error: NotFound(),
    exceptions.NotAuthenticated: _not_authenticated,
    exceptions.AuthenticationFailed: _not_authenticated,
    exceptions.PermissionDenied: lambda error: NotAllowed(str(error)),
    DjangoPermissionDenied: lambda error: NotAllowed(),
    # Raised for query parameters only: bodies are validated by pydantic.
    exceptions.ValidationError: lambda error: Malformed(
        errors=[
            {"loc": ["query", name], "msg": str(message), "type": message.code}
            for name, messages in error.detail.items()
            for message in messages
        ]
    ),
    exceptions.ParseError: lambda error: Malformed(str(error)),
    exceptions.MethodNotAllowed: lambda error: MethodNotAllowed(str(error)),
    exceptions.NotAcceptable: lambda error: NotAcceptable(),
    exceptions.UnsupportedMediaType: lambda error: UnsupportedMediaType(str(error)),
    exceptions.Throttled: lambda error: RateLimited(headers={"Retry-After": str(max(1, int(error.wait or 1)))}),
    RequestDataTooBig: lambda error: TooLarge(),
    SuspiciousOperation: lambda error: Malformed(),
    # The client closed the connection while the body was being read.
    UnreadablePostError: lambda error: Malformed(),
}
