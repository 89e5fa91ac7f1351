"""Uploads: images that customers send to use them as input files.

An upload is created, its bytes are PUT to the returned URL (of the bucket, or of `UploadContentView` for a local
folder), and it is completed. `files.uploads` does the work; from then on `{"upload": id}` may be used in an input.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from pydantic import Field, StringConstraints
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from credits.models import Account
from generations.api.file_content import FILE_RESPONSES, RANGE_RESPONSES, AnyContent, file_response, ticket_opens
from generations.errors import AlreadyFinished, LengthRequired
from generations.files import signed_urls, uploads
from generations.files.uploads import Mismatch
from generations.http.authentication import authenticated_user
from generations.http.openapi import RANGE, TICKET, problems
from generations.http.pagination import NewestFirst
from generations.http.requests import RequestBody
from generations.models import Upload, UploadQuerySet

PUT_TICKET = OpenApiParameter(
    "ticket", OpenApiTypes.STR, description="Allows the upload of these bytes without an API key. Part of the `url`."
)


class UploadRequest(RequestBody):
    """An image that will be uploaded."""

    file_name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        description="A label for yourself."
    )
    content_type: Literal["image/png", "image/jpeg", "image/webp"]
    size: int = Field(ge=1, le=uploads.BYTES_MAX, description="The exact size of the file in bytes.")


class TicketSerializer(serializers.Serializer[Upload]):
    """How to upload the bytes: a request with this method, URL and headers. Then complete the upload."""

    id = serializers.UUIDField()
    method = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    headers = serializers.SerializerMethodField(help_text="Send exactly these headers.")
    expires_at = serializers.DateTimeField(help_text="When the `url` expires.")

    @extend_schema_field(serializers.ChoiceField(["PUT"]))
    def get_method(self, upload: Upload) -> str:
        return "PUT"

    @extend_schema_field(serializers.URLField())
    def get_url(self, upload: Upload) -> str:
        # The URL of a bucket is absolute already, and stays as it is.
        return str(self.context["request"].build_absolute_uri(signed_urls.for_upload(upload)))

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_headers(self, upload: Upload) -> dict[str, str]:
        return {"Content-Type": upload.declared_type, "Content-Length": str(upload.declared_size_bytes)}


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """An upload. Once it is `ready`, `{"upload": id}` can be used wherever an input takes an image."""

    size = serializers.IntegerField(source="size_bytes", allow_null=True, read_only=True, help_text="Bytes.")
    content_type = serializers.CharField(help_text="As found in the bytes. Empty until the upload is ready.")
    url = serializers.SerializerMethodField(help_text="Opens without an API key until `url_expires_at`.")
    url_expires_at = serializers.SerializerMethodField()
    thumbnail_url = serializers.SerializerMethodField(
        help_text="A permanent URL of a small version, which needs authentication."
    )

    class Meta:
        model = Upload
        fields = (
            *("id", "state", "file_name", "content_type", "width", "height", "size", "sha256"),
            *("url", "url_expires_at", "thumbnail_url", "created_at", "completed_at"),
        )
        read_only_fields = fields

    def to_representation(self, upload: Upload) -> dict[str, Any]:
        self._link = signed_urls.for_reading(upload) if upload.state == Upload.State.READY else None
        return super().to_representation(upload)

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_url(self, upload: Upload) -> str | None:
        return str(self.context["request"].build_absolute_uri(self._link.url)) if self._link else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_url_expires_at(self, upload: Upload) -> datetime | None:
        return self._link.expires_at if self._link else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_thumbnail_url(self, upload: Upload) -> str | None:
        return reverse("api:upload-thumbnail", args=[upload.pk]) if self._link else None


class UploadsView(ListAPIView[Upload]):
    serializer_class = UploadSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> UploadQuerySet:
        return Upload.objects.visible_to(self.request.user)

    @extend_schema(operation_id="list_uploads", responses={200: UploadSerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Your uploads, newest first."""
        return super().get(request)

    @extend_schema(
        operation_id="create_upload",
        request=UploadRequest,
        responses={201: TicketSerializer, **problems(400, 403, 411, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Creates an upload. The response says where to send the bytes, within ten minutes."""
        body = UploadRequest.read(request)
        upload = uploads.create(
            Account.objects.for_user(authenticated_user(request)),
            file_name=body.file_name,
            content_type=body.content_type,
            size_bytes=body.size,
        )
        # Not stored in caches: the URL in the response lets its bearer write the file.
        headers = {"Location": reverse("api:upload", args=[upload.pk], request=request), "Cache-Control": "no-store"}
        return Response(TicketSerializer(upload, context={"request": request}).data, status=201, headers=headers)


class UploadView(APIView):
    @extend_schema(operation_id="read_upload", responses={200: UploadSerializer, **problems(404)})
    def get(self, request: Request, upload_id: UUID) -> Response:
        """The current state of an upload."""
        return _upload_response(request, _find(request, upload_id))

    @extend_schema(
        operation_id="erase_upload",
        responses={204: OpenApiResponse(description="The upload is erased."), **problems(404, 409)},
    )
    def delete(self, request: Request, upload_id: UUID) -> Response:
        """Erases an upload and its files, unless a generation that has not ended needs them."""
        uploads.erase(_find(request, upload_id))
        return Response(status=204)


class CompleteView(APIView):
    @extend_schema(
        operation_id="complete_upload",
        request=None,
        responses={200: UploadSerializer, **problems(403, 404, 409, 410, 422)},
    )
    def post(self, request: Request, upload_id: UUID) -> Response:
        """Completes an upload whose bytes have been sent. The image is checked, turned upright and freed of metadata.

        A repeated request returns the same upload.
        """
        return _upload_response(request, uploads.complete(_find(request, upload_id)))


class UploadContentView(APIView):
    # `ticket_opens` requires a ticket or a login.
    permission_classes = [AllowAny]
    content_negotiation_class = AnyContent

    def get_authenticators(self) -> list[BaseAuthentication]:
        # A browser that uploads with a ticket may have a session as well, whose authentication would demand a CSRF
        # token. There is no request while the OpenAPI document is written.
        ticket = self.request.GET.get("ticket") if self.request and self.request.method == "PUT" else None
        has_ticket = bool(ticket) and signed_urls.allows_upload(str(ticket), self.kwargs["upload_id"])
        return [] if has_ticket else super().get_authenticators()

    @extend_schema(
        operation_id="read_upload_content",
        parameters=[TICKET, RANGE],
        responses=FILE_RESPONSES | RANGE_RESPONSES,
    )
    def get(self, request: Request, upload_id: UUID) -> HttpResponseBase:
        """The checked image."""
        ready = Upload.objects.ready()
        if not ticket_opens(request, upload_id):
            ready = ready.visible_to(request.user)
        return file_response(request, get_object_or_404(ready, pk=upload_id))

    @extend_schema(
        operation_id="put_upload_content",
        parameters=[PUT_TICKET],
        request={"image/*": OpenApiTypes.BINARY},
        responses={204: OpenApiResponse(description="The bytes were received."), **problems(404, 409, 410, 411, 422)},
    )
    def put(self, request: Request, upload_id: UUID) -> HttpResponseBase:
        """Receives the bytes of an upload, if files are stored in a local folder. A bucket receives them itself."""
        # A completed upload is found as well, so that its client gets 409 and not 404.
        not_erased = Upload.objects.exclude(state=Upload.State.ERASED)
        if not ticket_opens(request, upload_id, is_valid=signed_urls.allows_upload):
            not_erased = not_erased.visible_to(request.user)
        upload = get_object_or_404(not_erased, pk=upload_id)
        if upload.state != Upload.State.PENDING:
            raise AlreadyFinished("This upload has been completed. Create another one.")
        if not request.headers.get("Content-Length", ""):
            raise LengthRequired()
        # As strict as a bucket, which refuses other headers than those that the URL was signed for.
        declared = f"{upload.declared_type} of {upload.declared_size_bytes} bytes"
        sent = f"{request.headers.get('Content-Type', '')} of {request.headers['Content-Length']} bytes"
        if sent != declared:
            raise Mismatch(f"The upload was created for {declared}, but the request has {sent[:100]}.")
        # Django's own request: its body is read as it arrives, and not kept.
        uploads.receive(upload, request._request)  # type: ignore[arg-type]
        return HttpResponse(status=204)


class ThumbnailView(APIView):
    content_negotiation_class = AnyContent

    @extend_schema(operation_id="read_upload_thumbnail", responses=FILE_RESPONSES)
    def get(self, request: Request, upload_id: UUID) -> HttpResponseBase:
        """A small version of the image."""
        upload = get_object_or_404(Upload.objects.ready().visible_to(request.user), pk=upload_id)
        return file_response(request, signed_urls.Thumbnail(upload))


def _find(request: Request, upload_id: UUID) -> Upload:
    return get_object_or_404(Upload.objects.visible_to(request.user), pk=upload_id)


def _upload_response(request: Request, upload: Upload) -> Response:
    data = UploadSerializer(upload, context={"request": request}).data
    # The signed URL in it must not be found in a cache.
    return Response(data, headers={"Cache-Control": "private, no-store"})
