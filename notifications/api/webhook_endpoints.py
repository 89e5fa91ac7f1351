"""The customer's endpoints, and the secrets that sign what they are sent."""

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
from generations.http.requests import RequestBody, WebhookUrl
from notifications import endpoints
from notifications.models import Subscriber, WebhookEndpoint, WebhookEndpointQuerySet

NOT_KEPT = {"Cache-Control": "no-store"}
"""An answer with a secret in it stays with whoever asked."""

Type = Literal["generation.completed", "generation.failed", "generation.progressed", "credits.low"]
Types = Annotated[list[Type], Field(min_length=1, max_length=4, description="Which messages it is sent.")]
Threshold = Annotated[
    int | None, Field(ge=1, le=CREDITS_MAX, description="`credits.low` is sent when fewer than this are available.")
]


class NewEndpoint(RequestBody):
    """An address to be told."""

    url: WebhookUrl
    types: Types = ["generation.completed", "generation.failed"]
    credits_low_at: Threshold = None
    description: str = Field(default="", max_length=200)


class ChangedEndpoint(RequestBody):
    """What is to be different; what is not named stays."""

    url: WebhookUrl | None = None
    types: Types | None = None
    credits_low_at: Threshold = None
    description: str | None = Field(default=None, max_length=200)
    enabled: bool | None = Field(default=None, description="Switch it on or off.")


class EndpointSerializer(serializers.ModelSerializer[WebhookEndpoint]):
    """Where messages go. Its secret is shown once, when it is made."""

    types = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField(source="is_listening")

    class Meta:
        model = WebhookEndpoint
        fields: tuple[str, ...] = (
            *("id", "url", "description", "types", "credits_low_at", "enabled", "disabled_at", "disabled_because"),
            *("failing_since", "previous_until", "created_at"),
        )
        read_only_fields: tuple[str, ...] = fields
        extra_kwargs = {
            "previous_until": {"help_text": "Until when messages carry a signature by the secret before as well."},
            "failing_since": {"help_text": "Since when nothing has got through. After five days it is switched off."},
        }


class MadeEndpointSerializer(EndpointSerializer):
    secret = serializers.SerializerMethodField(help_text="`whsec_…`. Shown now, and never again.")

    class Meta(EndpointSerializer.Meta):
        fields = (*EndpointSerializer.Meta.fields, "secret")
        read_only_fields: tuple[str, ...] = fields

    def get_secret(self, endpoint: WebhookEndpoint) -> str:
        return endpoints.secret_of(endpoint)


class RotatedSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="`whsec_…`. Shown now, and never again.")
    previous_until = serializers.DateTimeField(help_text="Until then messages are signed with both.")


class SigningSerializer(serializers.ModelSerializer[Subscriber]):
    """The secret that signs what goes to an order's own `webhook_url`."""

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
        """Yours, newest first."""
        return super().get(request)

    @extend_schema(
        operation_id="create_webhook_endpoint",
        request=NewEndpoint,
        responses={201: MadeEndpointSerializer, **problems(400, 403, 409, 411, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """A new one, told of what happens from now on. The answer holds its secret, for the only time."""
        wish = NewEndpoint.read(request)
        account = Account.objects.for_user(authenticated_user(request))
        endpoint = endpoints.add(account, **wish.model_dump())
        address = reverse("api:webhook-endpoint", args=[endpoint.pk], request=request)
        return Response(MadeEndpointSerializer(endpoint).data, status=201, headers={"Location": address, **NOT_KEPT})


class EndpointView(APIView):
    @extend_schema(operation_id="read_webhook_endpoint", responses={200: EndpointSerializer, **problems(404)})
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """How it stands."""
        return Response(EndpointSerializer(find(request, endpoint_id)).data)

    @extend_schema(
        operation_id="change_webhook_endpoint",
        request=ChangedEndpoint,
        responses={200: EndpointSerializer, **problems(400, 403, 404, 411, 413, 415, 422)},
    )
    def patch(self, request: Request, endpoint_id: UUID) -> Response:
        """Change it, or switch it on or off. While it is off, what happens is not told to it, later neither."""
        endpoint = find(request, endpoint_id)
        changes = ChangedEndpoint.read(request).model_dump(exclude_unset=True)
        enabled = changes.pop("enabled", None)
        # An empty threshold means something; an empty address does not.
        changes = {name: value for name, value in changes.items() if value is not None or name == "credits_low_at"}
        if changes:
            endpoints.change(endpoint, **changes)
        if enabled is not None:
            _switch(endpoint, on=enabled)
        return Response(EndpointSerializer(find(request, endpoint_id)).data)

    @extend_schema(
        operation_id="remove_webhook_endpoint",
        responses={204: OpenApiResponse(description="It is gone."), **problems(403, 404)},
    )
    def delete(self, request: Request, endpoint_id: UUID) -> Response:
        """Remove it. Nothing is sent there any more; its deliveries stay in the log."""
        endpoints.remove(find(request, endpoint_id))
        return Response(status=204)


class RotateView(APIView):
    @extend_schema(
        operation_id="rotate_webhook_secret",
        request=None,
        responses={200: RotatedSerializer, **problems(403, 404)},
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        """A new secret. For 24 hours every message carries a signature by each of the two."""
        endpoint = find(request, endpoint_id)
        secret = endpoints.rotate(endpoint)
        return rotated(secret, endpoint.previous_until)


class SecretView(APIView):
    @extend_schema(operation_id="read_webhook_signing", responses={200: SigningSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """When the secret for orders' own addresses was made; not the secret."""
        return Response(SigningSerializer(endpoints.of(Account.objects.for_user(authenticated_user(request)))).data)

    @extend_schema(
        operation_id="rotate_order_secret", request=None, responses={200: RotatedSerializer, **problems(403)}
    )
    def post(self, request: Request) -> Response:
        """A new secret for orders' own addresses (`webhook_url`), shown now and never again."""
        subscriber = endpoints.of(Account.objects.for_user(authenticated_user(request)))
        secret = endpoints.rotate(subscriber)
        return rotated(secret, subscriber.previous_until)


def rotated(secret: str, previous_until: Any) -> Response:
    body = RotatedSerializer({"secret": secret, "previous_until": previous_until}).data
    return Response(body, headers=NOT_KEPT)


def find(request: Request, endpoint_id: UUID) -> WebhookEndpoint:
    return get_object_or_404(WebhookEndpoint.objects.visible_to(request.user), pk=endpoint_id)


def _switch(endpoint: WebhookEndpoint, *, on: bool) -> None:
    if on:
        endpoints.switch_on(endpoint)
    else:
        endpoints.switch_off(endpoint, "You switched it off.")
