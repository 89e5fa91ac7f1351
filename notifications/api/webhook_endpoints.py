"""Webhook endpoints in the API: creating, changing and removing them, and the secrets that sign their messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from credits.models import CREDITS_MAX, Account
from generations.http.authentication import authenticated_user
from generations.http.openapi import problems
from generations.http.pagination import NewestFirst
from generations.http.requests import RequestBody
from generations.safe_http.recipients import WebhookUrl
from notifications import endpoints
from notifications.models import Subscriber, WebhookEndpoint, WebhookEndpointQuerySet

NO_STORE = {"Cache-Control": "no-store"}
"""For responses that contain a secret: no cache may store them."""

Type = Literal["generation.completed", "generation.failed", "generation.progressed", "credits.low"]
Types = Annotated[list[Type], Field(min_length=1, max_length=4, description="The types of messages that it receives.")]
Threshold = Annotated[
    int | None,
    Field(ge=1, le=CREDITS_MAX, description="`credits.low` is sent when fewer credits are available."),
]


class NewEndpoint(RequestBody):
    """A new webhook endpoint."""

    url: WebhookUrl
    types: Types = ["generation.completed", "generation.failed"]
    credits_low_at: Threshold = None
    description: str = Field(default="", max_length=200)


class ChangedEndpoint(RequestBody):
    """The fields to change. Fields that are not named stay."""

    url: WebhookUrl | None = None
    types: Types | None = None
    credits_low_at: Threshold = None
    description: str | None = Field(default=None, max_length=200)
    enabled: bool | None = Field(default=None, description="Whether messages are sent to it.")


class EndpointSerializer(serializers.ModelSerializer[WebhookEndpoint]):
    """A URL that messages are sent to. Its secret is shown once, when it is created."""

    types = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField(source="is_enabled")

    class Meta:
        model = WebhookEndpoint
        fields: tuple[str, ...] = (
            *("id", "url", "description", "types", "credits_low_at", "enabled", "disabled_at", "disabled_because"),
            *("failing_since", "previous_until", "created_at"),
        )
        read_only_fields: tuple[str, ...] = fields
        extra_kwargs = {
            "previous_until": {"help_text": "Until then, messages are signed with the previous secret as well."},
            "failing_since": {"help_text": "The first failure since the last success. After five days it is disabled."},
        }


class MadeEndpointSerializer(EndpointSerializer):
    """A new endpoint with its secret."""

    secret = serializers.SerializerMethodField(help_text="`whsec_…`. It is not shown again.")

    class Meta(EndpointSerializer.Meta):
        fields = (*EndpointSerializer.Meta.fields, "secret")
        read_only_fields: tuple[str, ...] = fields

    def get_secret(self, endpoint: WebhookEndpoint) -> str:
        return endpoints.current_secret(endpoint)


class RotatedSerializer(serializers.Serializer[Any]):
    """A new secret."""

    secret = serializers.CharField(help_text="`whsec_…`. It is not shown again.")
    previous_until = serializers.DateTimeField(help_text="Until then, messages are signed with both secrets.")


class SigningSerializer(serializers.ModelSerializer[Subscriber]):
    """The secret that signs messages to the `webhook_url` of orders. It is not shown."""

    class Meta:
        model = Subscriber
        fields = ("previous_until", "created_at")
        read_only_fields: tuple[str, ...] = fields


class EndpointsView(ListAPIView[WebhookEndpoint]):
    serializer_class = EndpointSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> WebhookEndpointQuerySet:
        return WebhookEndpoint.objects.visible_to(self.request.user)

    @extend_schema(operation_id="list_webhook_endpoints", responses={200: EndpointSerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Your endpoints, newest first."""
        return super().get(request)

    @extend_schema(
        operation_id="create_webhook_endpoint",
        request=NewEndpoint,
        responses={201: MadeEndpointSerializer, **problems(400, 403, 409, 411, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Creates an endpoint, which receives events from now on. Only this response contains its secret."""
        body = NewEndpoint.read(request)
        account = Account.objects.for_user(authenticated_user(request))
        endpoint = endpoints.create(account, **body.model_dump())
        headers = {"Location": reverse("api:webhook-endpoint", args=[endpoint.pk], request=request), **NO_STORE}
        return Response(MadeEndpointSerializer(endpoint).data, status=201, headers=headers)


class EndpointView(APIView):
    @extend_schema(operation_id="read_webhook_endpoint", responses={200: EndpointSerializer, **problems(404)})
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """One endpoint."""
        return Response(EndpointSerializer(find(request, endpoint_id)).data)

    @extend_schema(
        operation_id="change_webhook_endpoint",
        request=ChangedEndpoint,
        responses={200: EndpointSerializer, **problems(400, 403, 404, 411, 413, 415, 422)},
    )
    def patch(self, request: Request, endpoint_id: UUID) -> Response:
        """Changes an endpoint, or enables or disables it.

        Events that happen while it is disabled are never sent to it.
        """
        endpoint = find(request, endpoint_id)
        changes = ChangedEndpoint.read(request).model_dump(exclude_unset=True)
        enabled = changes.pop("enabled", None)
        # `null` removes the threshold. For the other fields it has no meaning, and they stay.
        changes = {name: value for name, value in changes.items() if value is not None or name == "credits_low_at"}
        if changes:
            endpoints.update(endpoint, **changes)
        if enabled is not None:
            if enabled:
                endpoints.enable(endpoint)
            else:
                endpoints.disable(endpoint, "You switched it off.")
        return Response(EndpointSerializer(find(request, endpoint_id)).data)

    @extend_schema(
        operation_id="remove_webhook_endpoint",
        responses={204: OpenApiResponse(description="It is removed."), **problems(403, 404)},
    )
    def delete(self, request: Request, endpoint_id: UUID) -> Response:
        """Removes an endpoint. Nothing is sent to it any more; its deliveries stay in the log."""
        endpoints.remove(find(request, endpoint_id))
        return Response(status=204)


class RotateView(APIView):
    @extend_schema(
        operation_id="rotate_webhook_secret",
        request=None,
        responses={200: RotatedSerializer, **problems(403, 404)},
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        """Creates a new secret. For 24 hours every message is signed with both secrets."""
        endpoint = find(request, endpoint_id)
        secret = endpoints.rotate_secret(endpoint)
        return _rotated(secret, endpoint.previous_until)


class SecretView(APIView):
    @extend_schema(operation_id="read_webhook_signing", responses={200: SigningSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """When the secret for the URLs of your orders (`webhook_url`) was created and rotated. It is not shown."""
        subscriber = endpoints.subscriber_of(Account.objects.for_user(authenticated_user(request)))
        return Response(SigningSerializer(subscriber).data)

    @extend_schema(
        operation_id="rotate_order_secret", request=None, responses={200: RotatedSerializer, **problems(403)}
    )
    def post(self, request: Request) -> Response:
        """Creates a new secret for the URLs of your orders (`webhook_url`). It is not shown again."""
        subscriber = endpoints.subscriber_of(Account.objects.for_user(authenticated_user(request)))
        secret = endpoints.rotate_secret(subscriber)
        return _rotated(secret, subscriber.previous_until)


def find(request: Request, endpoint_id: UUID) -> WebhookEndpoint:
    """Return the endpoint if it belongs to the user. Raises Http404."""
    return get_object_or_404(WebhookEndpoint.objects.visible_to(request.user), pk=endpoint_id)


def _rotated(secret: str, previous_until: Any) -> Response:
    body = RotatedSerializer({"secret": secret, "previous_until": previous_until}).data
    return Response(body, headers=NO_STORE)
