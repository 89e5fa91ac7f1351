"""fal's callbacks prove themselves by signature and token. What a proxy made of their Host must not lose them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class AnyHostMiddleware:
    """A Host that we do not know is 400 everywhere else, and fal would hear it for every single picture."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/hooks/"):
            request.META["HTTP_HOST"] = urlsplit(settings.SITE_URL).netloc
        return self._get_response(request)
