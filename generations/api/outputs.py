"""The content of an output: `/api/v1/outputs/<id>/content/`, for its owner and for signed URLs."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from generations.api.file_content import (
    FILE_RESPONSES,
    RANGE_RESPONSES,
    AnyContent,
    add_file_headers,
    file_response,
    ticket_opens,
)
from generations.http.openapi import RANGE, TICKET
from generations.models import Output


class OutputContentView(APIView):
    # `ticket_opens` requires a ticket or a login.
    permission_classes = [AllowAny]
    content_negotiation_class = AnyContent

    @extend_schema(
        operation_id="read_output_content",
        parameters=[TICKET, RANGE],
        responses=FILE_RESPONSES | RANGE_RESPONSES,
    )
    def get(self, request: Request, output_id: UUID) -> HttpResponseBase:
        """The file. Supports the Range header, so that a video can be played from any position."""
        return file_response(request, _find(request, output_id))

    @extend_schema(exclude=True)
    def head(self, request: Request, output_id: UUID) -> HttpResponseBase:
        # From the row, without a redirect: a bucket refuses HEAD at a URL that was signed for GET.
        output = _find(request, output_id)
        return add_file_headers(HttpResponse(headers={"Content-Length": str(output.size_bytes)}), output)


def _find(request: Request, output_id: UUID) -> Output:
    outputs = Output.objects.stored()
    if not ticket_opens(request, output_id):
        outputs = outputs.visible_to(request.user)
    return get_object_or_404(outputs, pk=output_id)
