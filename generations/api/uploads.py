"""Pictures that customers bring: announced, put where they are told, completed, looked at, removed."""

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
from rest_framework.exceptions import NotAuthenticated
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from credits.models import Account
from generations.api.outputs import AnyContent, served
from generations.errors import AlreadyFinished, LengthRequired
from generations.files import signed_urls, uploads
from generations.files.uploads import Mismatch
from generations.http.authentication import customer
from generations.http.openapi import RANGE, TICKET, problems
from generations.http.pagination import NewestFirst
from generations.http.requests import RequestBody
from generations.models import Upload, UploadQuerySet

PUT_TICKET = OpenApiParameter(
    "ticket", OpenApiTypes.STR, description="Lets its bearer put these bytes without a key. Part of the `url`."
)


class NewUpload(RequestBody):
    """A picture that is about to be put."""

    file_name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        description="For you to know it by."
    )
    content_type: Literal["image/png", "image/jpeg", "image/webp"]
    size: int = Field(ge=1, le=uploads.BYTES_MAX, description="Bytes, just as many as will be put.")


class TicketSerializer(serializers.Serializer[Upload]):
    """Where to put the bytes. `PUT url` with these headers and the body; then complete the upload."""

    id = serializers.UUIDField()
    method = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    headers = serializers.SerializerMethodField(help_text="Send them along, as they are.")
    expires_at = serializers.DateTimeField(help_text="Until then the address holds.")

    @extend_schema_field(serializers.ChoiceField(["PUT"]))
    def get_method(self, upload: Upload) -> str:
        return "PUT"

    @extend_schema_field(serializers.URLField())
    def get_url(self, upload: Upload) -> str:
        url = signed_urls.to_put(upload)
        return url if "://" in url else str(self.context["request"].build_absolute_uri(url))

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_headers(self, upload: Upload) -> dict[str, str]:
        return {"Content-Type": upload.announced_type, "Content-Length": str(upload.announced_size_bytes)}


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """A picture of yours. `{"upload": id}` may stand wherever an input wants a picture, once it is `ready`."""

    size = serializers.IntegerField(source="size_bytes", allow_null=True, read_only=True, help_text="Bytes.")
    content_type = serializers.CharField(help_text="As its bytes say. Empty until it is ready.")
    url = serializers.SerializerMethodField(help_text="Opens without a key until `url_expires_at`.")
    url_expires_at = serializers.SerializerMethodField()
    thumbnail_url = serializers.SerializerMethodField(help_text="A small one, at a permanent address, for its owner.")

    class Meta:
        model = Upload
        fields = (
            *("id", "state", "file_name", "content_type", "width", "height", "size", "sha256"),
            *("url", "url_expires_at", "thumbnail_url", "created_at", "completed_at"),
        )
        read_only_fields = fields

    def to_representation(self, upload: Upload) -> dict[str, Any]:
        self._link = signed_urls.to(upload) if upload.state == Upload.State.READY else None
        return super().to_representation(upload)

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_url(self, upload: Upload) -> str | None:
        if self._link is None:
            return None
        url = self._link.url
        return url if "://" in url else str(self.context["request"].build_absolute_uri(url))

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
        """Yours, newest first."""
        return super().get(request)

    @extend_schema(
        operation_id="create_upload",
        request=NewUpload,
        responses={201: TicketSerializer, **problems(400, 403, 411, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Announce a picture. The answer says where to put its bytes, for ten minutes."""
        wish = NewUpload.read(request)
        upload = uploads.create(
            Account.objects.for_user(customer(request)),
            file_name=wish.file_name,
            content_type=wish.content_type,
            size_bytes=wish.size,
        )
        headers = {"Location": reverse("api:upload", args=[upload.pk], request=request), "Cache-Control": "no-store"}
        return Response(TicketSerializer(upload, context={"request": request}).data, status=201, headers=headers)


class UploadView(APIView):
    @extend_schema(operation_id="read_upload", responses={200: UploadSerializer, **problems(404)})
    def get(self, request: Request, upload_id: UUID) -> Response:
        """How it stands."""
        return _shown(request, _find(request, upload_id))

    @extend_schema(
        operation_id="erase_upload",
        responses={204: OpenApiResponse(description="Gone."), **problems(404, 409)},
    )
    def delete(self, request: Request, upload_id: UUID) -> Response:
        """Remove its files. Not while a generation that is not done needs them."""
        uploads.erase(_find(request, upload_id))
        return Response(status=204)


class CompleteView(APIView):
    @extend_schema(
        operation_id="complete_upload",
        request=None,
        responses={200: UploadSerializer, **problems(403, 404, 409, 410, 422)},
    )
    def post(self, request: Request, upload_id: UUID) -> Response:
        """Its bytes are there. They are looked at, turned upright, freed of metadata, and made ready to be used.

        Again: the same answer.
        """
        return _shown(request, uploads.complete(_find(request, upload_id)))


class UploadContentView(APIView):
    permission_classes = [AllowAny]
    content_negotiation_class = AnyContent

    def get_authenticators(self) -> list[BaseAuthentication]:
        # Who puts by a ticket may have a session as well; he is not asked for its CSRF token.
        # (When the OpenAPI document is written there is no request.)
        by_ticket = self.request and self.request.method == "PUT" and self._is_ticket(self.request.GET.get("ticket"))
        return [] if by_ticket else super().get_authenticators()

    def _is_ticket(self, ticket: str | None) -> bool:
        return bool(ticket) and signed_urls.lets_put(str(ticket), self.kwargs["upload_id"])

    @extend_schema(
        operation_id="read_upload_content",
        parameters=[TICKET, RANGE],
        responses={
            (200, "*/*"): OpenApiTypes.BINARY,
            (206, "*/*"): OpenApiTypes.BINARY,
            302: OpenApiResponse(description="To a fresh signed address of the bucket."),
            304: OpenApiResponse(description="Unchanged."),
            **problems(404, 416),
        },
    )
    def get(self, request: Request, upload_id: UUID) -> HttpResponseBase:
        """The picture as it was made ready."""
        return served(request, _find(request, upload_id, among=Upload.objects.ready(), may=signed_urls.opens))

    @extend_schema(
        operation_id="put_upload_content",
        parameters=[PUT_TICKET],
        request={"image/*": OpenApiTypes.BINARY},
        responses={204: OpenApiResponse(description="Taken."), **problems(404, 409, 410, 411, 422)},
    )
    def put(self, request: Request, upload_id: UUID) -> HttpResponseBase:
        """Its bytes, where Limn keeps files in a folder. Where there is a bucket, `url` leads there instead."""
        upload = _find(request, upload_id, may=signed_urls.lets_put)
        _require_as_announced(request, upload)
        uploads.receive(upload, request._request)  # type: ignore[arg-type]  # to be read once, as it comes
        return HttpResponse(status=204)


class ThumbnailView(APIView):
    content_negotiation_class = AnyContent

    @extend_schema(
        operation_id="read_upload_thumbnail",
        responses={
            (200, "*/*"): OpenApiTypes.BINARY,
            302: OpenApiResponse(description="To a fresh signed address of the bucket."),
            304: OpenApiResponse(description="Unchanged."),
            **problems(404),
        },
    )
    def get(self, request: Request, upload_id: UUID) -> HttpResponseBase:
        """The picture, small."""
        return served(request, signed_urls.Thumbnail(_find(request, upload_id, among=Upload.objects.ready())))


def _find(
    request: Request, upload_id: UUID, *, among: UploadQuerySet | None = None, may: Any = lambda *words: False
) -> Upload:
    """The upload, for its owner or for who has a ticket that `may`."""
    rows = Upload.objects.exclude(state=Upload.State.ERASED) if among is None else among
    ticket = request.query_params.get("ticket", "")
    if ticket and may(ticket, upload_id):
        return get_object_or_404(rows, pk=upload_id)
    if not request.user.is_authenticated:
        raise NotAuthenticated("This signature is wrong or has expired." if ticket else None)
    return get_object_or_404(rows.filter(pk__in=Upload.objects.visible_to(request.user)), pk=upload_id)


def _require_as_announced(request: Request, upload: Upload) -> None:
    if upload.state != Upload.State.PENDING:
        raise AlreadyFinished("This upload has been completed. Announce another one.")
    if not request.headers.get("Content-Length", ""):
        raise LengthRequired()
    announced = f"{upload.announced_type} of {upload.announced_size_bytes} bytes"
    sent = f"{request.headers.get('Content-Type', '')} of {request.headers['Content-Length']} bytes"
    if sent != announced:
        raise Mismatch(f"Announced was {announced}; what comes says {sent[:100]}.")


def _shown(request: Request, upload: Upload) -> Response:
    body = UploadSerializer(upload, context={"request": request}).data
    return Response(body, headers={"Cache-Control": "private, no-store"})
