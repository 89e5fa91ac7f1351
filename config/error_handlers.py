"""Error responses outside of any view: problem documents below /api/, /health/ and /hooks/, pages elsewhere.

`config.urls` names the handlers for Django. An unavailable database is answered with 503 and not with 500.
"""

from __future__ import annotations

import logging
import sys

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from database.transactions import UNAVAILABLE
from generations.errors import DomainError, InternalError, Malformed, NotAllowed, NotFound, Unavailable
from generations.http import problems

logger = logging.getLogger(__name__)

FOR_PROGRAMS = ("/api/", "/health/", "/hooks/")


def answer(request: HttpRequest, problem: DomainError) -> HttpResponse:
    if request.path.startswith(FOR_PROGRAMS):
        return problems.response(problem, request.path)
    return HttpResponse(
        f"{problem.title}. Please try again in a moment.\n",
        status=problem.status,
        headers=problem.headers,
        content_type="text/plain; charset=utf-8",
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(FOR_PROGRAMS):
        return answer(request, problems.translate(exception) or Malformed())
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(FOR_PROGRAMS):
        return answer(request, NotAllowed())
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(FOR_PROGRAMS):
        return answer(request, NotFound())
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the response to an exception that Django has logged: no details, only whether trying again helps."""
    # Middleware uses the database as well: sessions are saved after the view.
    if isinstance(sys.exc_info()[1], UNAVAILABLE):
        return answer(request, Unavailable())
    if request.path.startswith(FOR_PROGRAMS):
        return answer(request, InternalError())
    return defaults.server_error(request)
