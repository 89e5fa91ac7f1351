"""Accepts fal's callbacks whatever Host header a proxy gave them: they are verified by signature and token."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class AnyHostMiddleware:
    """Sets the Host of requests below /hooks/ to SITE_URL's. Django would answer an unknown Host with 400."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/hooks/"):
            request.META["HTTP_HOST"] = urlsplit(settings.SITE_URL).netloc
        return self._get_response(request)
