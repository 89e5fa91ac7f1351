"""Headers with which clients poll generations and batches: ETag, Cache-Control and Retry-After."""

from __future__ import annotations

from typing import TypeVar

from django.http.response import HttpResponseBase

AnyResponse = TypeVar("AnyResponse", bound=HttpResponseBase)


def add_polling_headers(response: AnyResponse, *, etag: str, retry_after_seconds: int | None) -> AnyResponse:
    """Add the headers to a response, and return it.

    Args:
        etag: A strong ETag, with its quotes. A client that sends it back as If-None-Match gets 304 until it changes.
        retry_after_seconds: When to poll again. None: everything has ended, and polling can stop.
    """
    response["ETag"] = etag
    # Caches of the client may keep the response, but have to ask whether it is still current.
    response["Cache-Control"] = "private, no-cache"
    if retry_after_seconds is not None:
        response["Retry-After"] = str(retry_after_seconds)
    return response
