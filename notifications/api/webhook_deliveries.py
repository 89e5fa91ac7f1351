"""Webhook deliveries in the API: the log with every attempt, sending a delivery again, and test messages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generations.http.openapi import problems
from generations.http.pagination import NewestFirst
from notifications import endpoints, outbox
from notifications.api import webhook_endpoints
from notifications.models import WebhookAttempt, WebhookDelivery, WebhookType


class AttemptSerializer(serializers.ModelSerializer[WebhookAttempt]):
    """One attempt. Without a `status` there was no response, and `error` says why."""

    class Meta:
        model = WebhookAttempt
        fields = ("at", "status", "duration_ms", "answer", "error")
        read_only_fields: tuple[str, ...] = fields


class DeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """One message to one URL."""

    webhook_id = serializers.CharField(help_text="The id of the message: the same for all attempts and all URLs.")
    url = serializers.CharField(source="address")
    endpoint = serializers.UUIDField(source="endpoint_id", allow_null=True)
    generation = serializers.UUIDField(source="generation_id", allow_null=True)
    type = serializers.ChoiceField(WebhookType.choices)

    class Meta:
        model = WebhookDelivery
        fields: tuple[str, ...] = (
            *("id", "webhook_id", "type", "url", "endpoint", "generation", "state", "detail", "tries"),
            *("next_attempt_at", "happened_at", "delivered_at"),
        )
        read_only_fields: tuple[str, ...] = fields
        extra_kwargs = {
            "state": {"help_text": "`exhausted`: given up. It can still be sent again with a request."},
            "next_attempt_at": {"help_text": "The time of the next attempt; empty if there is none."},
        }


class WholeDeliverySerializer(DeliverySerializer):
    """A delivery with all of its attempts."""

    attempts = AttemptSerializer(source="log", many=True)

    class Meta(DeliverySerializer.Meta):
        fields = (*DeliverySerializer.Meta.fields, "attempts")
        read_only_fields: tuple[str, ...] = fields


class DeliveryFilter(filters.FilterSet):  # type: ignore[misc]
    state = filters.ChoiceFilter(choices=WebhookDelivery.State.choices)
    endpoint = filters.UUIDFilter(field_name="endpoint")
    generation = filters.UUIDFilter(field_name="generation")


class KnownFilters(filters.DjangoFilterBackend):  # type: ignore[misc]
    """Rejects unknown and empty filters. django-filter would ignore them, and return deliveries that do not match."""

    def filter_queryset(self, request: Request, queryset: Any, view: APIView) -> Any:
        errors: dict[str, list[ErrorDetail]] = {}
        for name, value in request.query_params.items():
            is_filter = name in DeliveryFilter.base_filters
            if not is_filter and name not in {"cursor", "limit"}:
                errors[name] = [ErrorDetail("There is no such filter.", "unknown")]
            elif is_filter and not value:
                errors[name] = [ErrorDetail("Empty.", "blank")]
        if errors:
            raise ValidationError(errors)
        return super().filter_queryset(request, queryset, view)


class DeliveriesView(ListAPIView[WebhookDelivery]):
    serializer_class = DeliverySerializer
    pagination_class = NewestFirst
    filter_backends = [KnownFilters]
    filterset_class = DeliveryFilter

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        return WebhookDelivery.objects.visible_to(self.request.user).select_related("endpoint")

    @extend_schema(operation_id="list_webhook_deliveries", responses={200: DeliverySerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """The deliveries of the last month, newest first."""
        return super().get(request)


class DeliveryView(APIView):
    @extend_schema(operation_id="read_webhook_delivery", responses={200: WholeDeliverySerializer, **problems(404)})
    def get(self, request: Request, delivery_id: UUID) -> Response:
        """One delivery, with every attempt."""
        return Response(WholeDeliverySerializer(_find(request, delivery_id)).data)


class ResendView(APIView):
    @extend_schema(
        operation_id="resend_webhook", request=None, responses={202: DeliverySerializer, **problems(403, 404, 409)}
    )
    def post(self, request: Request, delivery_id: UUID) -> Response:
        """Sends a delivery again, with the same id, whatever its state."""
        delivery = _find(request, delivery_id)
        endpoints.require_enabled(delivery.endpoint)
        outbox.resend(delivery)
        return Response(DeliverySerializer(_find(request, delivery_id)).data, status=202)


class TestView(APIView):
    @extend_schema(
        operation_id="test_webhook_endpoint",
        request=None,
        responses={202: DeliverySerializer, **problems(403, 404, 409)},
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        """Sends the endpoint a message of the type `webhook.test`. A second later, the delivery shows the outcome."""
        endpoint = webhook_endpoints.find(request, endpoint_id)
        endpoints.require_enabled(endpoint)
        delivery = outbox.send_test(endpoint)
        return Response(DeliverySerializer(_find(request, delivery.pk)).data, status=202)


def _find(request: Request, delivery_id: UUID) -> WebhookDelivery:
    rows = WebhookDelivery.objects.visible_to(request.user).select_related("endpoint")
    return get_object_or_404(rows, pk=delivery_id)
