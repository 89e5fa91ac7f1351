"""Sends stored files: outputs, uploads and their thumbnails. It redirects to the bucket, or streams a local file.

A file can be read by its owner, and by anyone with a signed URL, whose `ticket` names one file and expires. The headers
keep a browser from running a file, whatever it contains: they depend on what Limn found in it, not on what the
provider or the customer called it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpResponseRedirect
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework.exceptions import NotAuthenticated
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from generations.errors import NotFound
from generations.files import signed_urls, storage
from generations.files.signed_urls import ReadableFile
from generations.http import byte_ranges
from generations.http.openapi import problems

logger = logging.getLogger(__name__)

# A stored file never changes. An hour bounds how long a browser shows an erased one.
CACHE_CONTROL = "private, max-age=3600"
# What a browser displays by itself and cannot run. Everything else is downloaded.
INLINE_TYPES = ("image/", "video/", "audio/")

FILE_RESPONSES: dict[Any, Any] = {
    (200, "*/*"): OpenApiTypes.BINARY,
    302: OpenApiResponse(description="Redirect to a new signed URL of the bucket."),
    304: OpenApiResponse(description="Not modified."),
    **problems(404),
}
"""The responses of an operation that returns `file_response`, for the OpenAPI document."""
RANGE_RESPONSES: dict[Any, Any] = {(206, "*/*"): OpenApiTypes.BINARY, **problems(416)}
"""Those of an operation that supports ranges, in addition."""


class AnyContent(DefaultContentNegotiation):
    """Ignores the Accept header: the type of a file is given, and an <img> does not accept JSON."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


def ticket_opens(
    request: Request, file_id: UUID, *, is_valid: Callable[[str, UUID], bool] = signed_urls.allows_reading
) -> bool:
    """Return whether the request has a ticket for this file. If not, its user has to be allowed to see the file.

    Args:
        is_valid: Checks a ticket: `signed_urls.allows_reading` for reading, `signed_urls.allows_upload` for writing.

    Raises NotAuthenticated if there is neither a valid ticket nor a user.
    """
    ticket = request.query_params.get("ticket", "")
    if ticket and is_valid(ticket, file_id):
        return True
    if not request.user.is_authenticated:
        raise NotAuthenticated("This signature is wrong or has expired." if ticket else None)
    return False


def file_response(request: Request, file: ReadableFile) -> HttpResponseBase:
    """Return the response with a stored file. Raises NotFound if storage no longer has it, and RangeNotSatisfiable."""
    if (url := signed_urls.in_bucket(file)) is not None:
        # The URL expires, so the redirect must not be kept.
        return HttpResponseRedirect(url, headers={"Cache-Control": "no-store"})
    try:
        response = byte_ranges.respond(
            request, partial(storage.open_file, file.key), size_bytes=file.size_bytes or 0, etag=_etag(file)
        )
    except FileNotFoundError:
        logger.error("a stored file is missing", extra={"key": file.key})
        raise NotFound("The file is no longer in storage. This has been logged as an error.") from None
    return add_file_headers(response, file)


def add_file_headers(response: HttpResponseBase, file: ReadableFile) -> HttpResponseBase:
    """Add the headers of a stored file to a response, and return it."""
    response["Content-Type"] = file.content_type
    disposition = "inline" if file.content_type.startswith(INLINE_TYPES) else "attachment"
    response["Content-Disposition"] = f'{disposition}; filename="{signed_urls.download_name(file)}"'
    # If the file contains a script after all, the browser neither guesses its type nor runs it.
    response["Content-Security-Policy"] = "sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = CACHE_CONTROL
    response["ETag"] = _etag(file)
    return response


def _etag(file: ReadableFile) -> str:
    return f'"{file.sha256}"'
