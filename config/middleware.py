"""Django's middleware for browsers, which requests of programs pass by.

Sessions, logins, messages and htmx serve pages. A request of the API that comes with a key, and a callback of fal, use
none of them, and each of them takes time. All other requests of the API, such as those of a logged-in browser, take the
whole stack. The headers of the responses are the same either way.
"""

from __future__ import annotations

from typing import Any

from csp.constants import HEADER
from csp.middleware import CSPMiddleware as DjangoCspMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware as DjangoAuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware as DjangoMessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_htmx.middleware import HtmxMiddleware as DjangoHtmxMiddleware

from generations.http.authentication import SCHEMES

# What the decorators of django-csp set on a response that has a policy of its own.
_CSP_ATTRIBUTES = frozenset({"_csp_config", "_csp_update", "_csp_replace", "_csp_exempt"})


def is_from_program(request: HttpRequest) -> bool:
    """Return whether the request is authenticated by a key or by a signature, and never by a session."""
    known: bool | None = getattr(request, "_is_from_program", None)
    if known is None:
        path = request.path_info
        scheme = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower()
        known = path.startswith("/hooks/") or (scheme in SCHEMES and path.startswith("/api/"))
        request._is_from_program = known  # type: ignore[attr-defined]
    return known


class _ForBrowsers:
    """Passes requests of programs on."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if is_from_program(request) else super().__call__(request)  # type: ignore[misc]


class SessionMiddleware(_ForBrowsers, DjangoSessionMiddleware):
    """Loads the session of the request's cookie."""


class AuthenticationMiddleware(_ForBrowsers, DjangoAuthenticationMiddleware):
    """Sets the user of the session."""


class MessageMiddleware(_ForBrowsers, DjangoMessageMiddleware):
    """Loads the messages to the user from the session."""


class HtmxMiddleware(_ForBrowsers, DjangoHtmxMiddleware):
    """Reads the headers of htmx."""


class CSPMiddleware(DjangoCspMiddleware):
    """Adds the Content-Security-Policy. For programs it is built once, not with each response."""

    _policy: str | None = None

    def process_request(self, request: HttpRequest) -> None:
        if not is_from_program(request):
            super().process_request(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        has_own_policy = not _CSP_ATTRIBUTES.isdisjoint(vars(response)) or HEADER in response.headers
        if settings.DEBUG or has_own_policy or not is_from_program(request):
            return super().process_response(request, response)
        if self._policy is None:
            response = super().process_response(request, response)
            self._policy = response.headers[HEADER]
        response.headers[HEADER] = self._policy
        return response
