"""The files themselves, for their owners and for who holds a signed address."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotAuthenticated
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from generations.errors import NotFound, RangeNotSatisfiable
from generations.files import signed_urls, storage
from generations.files.signed_urls import Stored
from generations.http import byte_ranges
from generations.http.openapi import RANGE, TICKET, problems
from generations.models import Output

logger = logging.getLogger(__name__)

# A file never changes; whoever may see it now may keep what he has seen for an hour.
CACHE_CONTROL = "private, max-age=3600"
# What a browser shows or plays by itself, and cannot run.
INLINE = ("image/", "video/", "audio/")


class AnyContent(DefaultContentNegotiation):
    """A file is what it is, whatever the caller accepts; an <img> does not ask for JSON."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class OutputContentView(APIView):
    permission_classes = [AllowAny]
    content_negotiation_class = AnyContent

    @extend_schema(
        operation_id="read_output_content",
        parameters=[TICKET, RANGE],
        responses={
            (200, "*/*"): OpenApiTypes.BINARY,
            (206, "*/*"): OpenApiTypes.BINARY,
            302: OpenApiResponse(description="To a fresh signed address of the bucket."),
            304: OpenApiResponse(description="Unchanged."),
            **problems(404, 416),
        },
    )
    def get(self, request: Request, output_id: UUID) -> HttpResponseBase:
        """The file. Ranges are answered, so that a video can be played from anywhere."""
        return served(request, _find(request, output_id))

    @extend_schema(exclude=True)
    def head(self, request: Request, output_id: UUID) -> HttpResponseBase:
        """All that is said about the file; the row knows it. (An address signed for GET refuses HEAD.)"""
        output = _find(request, output_id)
        return _labelled(HttpResponse(headers={"Content-Length": str(output.size_bytes)}), output)


def served(request: Request, file: Stored) -> HttpResponseBase:
    """A file of ours: from the bucket, where there is one, or out of our folder."""
    if (address := signed_urls.from_bucket(file)) is not None:
        return HttpResponseRedirect(address, headers={"Cache-Control": "no-store"})
    unchanged = get_conditional_response(request, etag=_etag(file))
    return _labelled(unchanged or _streamed(request, file), file)


def _find(request: Request, output_id: UUID) -> Output:
    ticket = request.query_params.get("ticket", "")
    if ticket and signed_urls.opens(ticket, output_id):
        return get_object_or_404(Output.objects.stored(), pk=output_id)
    if not request.user.is_authenticated:
        raise NotAuthenticated("This signature is wrong or has expired." if ticket else None)
    return get_object_or_404(Output.objects.visible_to(request.user).stored(), pk=output_id)


def _streamed(request: Request, output: Stored) -> HttpResponseBase:
    size = output.size_bytes or 0
    part = _wanted(request, output, size)
    shown = range(size) if part is None else part
    response = StreamingHttpResponse(_open(output, shown), status=200 if part is None else 206)
    response["Content-Length"] = str(len(shown))
    if part is not None:
        response["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return response


def _wanted(request: Request, output: Stored, size: int) -> range | None:
    # "If it is still the one I have a part of": ours never changes, but the caller may mean another.
    if request.headers.get("If-Range", _etag(output)) != _etag(output):
        return None
    try:
        return byte_ranges.wanted(request.headers.get("Range", ""), size)
    except byte_ranges.NotSatisfiable:
        raise RangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"}) from None


def _open(output: Stored, part: range) -> byte_ranges.Slice:
    try:
        return byte_ranges.Slice(storage.open_file(output.key), part)
    except FileNotFoundError:
        logger.error("a stored file is gone", extra={"key": output.key})
        raise NotFound("The file is no longer in storage. We have been told.") from None


def _labelled(response: HttpResponseBase, output: Stored) -> HttpResponseBase:
    """Type and name are our own findings. Should a file be more than it seems, a browser may not run it."""
    response["Content-Type"] = output.content_type
    how = "inline" if output.content_type.startswith(INLINE) else "attachment"
    response["Content-Disposition"] = f'{how}; filename="{signed_urls.file_name(output)}"'
    response["Content-Security-Policy"] = "sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = CACHE_CONTROL
    response["ETag"] = _etag(output)
    return response


def _etag(output: Stored) -> str:
    return f'"{output.sha256}"'
