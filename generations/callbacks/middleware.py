"""Answers fal's callbacks outside of the rest of the middleware, whatever Host header a proxy gave them.

They are verified by signature and token. Sessions, forms and the headers of pages mean nothing to them.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import resolve


class CallbackMiddleware:
    """Passes requests below /hooks/ to their view at once. Stands below what answers for a missing database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith("/hooks/"):
            return self._get_response(request)
        # Django would answer an unknown Host with 400.
        request.META["HTTP_HOST"] = urlsplit(settings.SITE_URL).netloc
        match = request.resolver_match = resolve(request.path_info)
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        # Django's own middleware for this is passed by. Without a length the end of the response comes in a packet of
        # its own.
        response.headers["Content-Length"] = str(len(response.content))
        return response
