"""What can be ordered, and for how much."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generations.api.order_requests import QuoteRequest
from generations.api.serializers import ModelListSerializer, ModelSerializer, QuoteSerializer
from generations.http.openapi import problems
from generations.ordering import price_book

# Or until the price book changes, where that is written already. An order is guarded by max_credits.
QUOTE_VALID = timedelta(minutes=15)


class ModelsView(APIView):
    @extend_schema(operation_id="list_models", responses={200: ModelListSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """Everything on offer."""
        return Response(ModelListSerializer({"results": price_book.offered()}).data)


class ModelView(APIView):
    @extend_schema(operation_id="read_model", responses={200: ModelSerializer, **problems(404)})
    def get(self, request: Request, slug: str) -> Response:
        """One of them, with the JSON Schema of its input."""
        return Response(ModelSerializer(price_book.find(slug)).data)


class QuotesView(APIView):
    @extend_schema(
        operation_id="quote",
        request=QuoteRequest,
        responses={200: QuoteSerializer, **problems(400, 403, 404, 411, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """What an order would cost. Nothing is made or kept."""
        model, inputs = QuoteRequest.read(request).resolve()
        until, change = timezone.now() + QUOTE_VALID, price_book.next_change(model.slug)
        quote = {
            "credits": model.credits(inputs),
            "basis": "exact",
            "valid_until": min(until, change) if change else until,
        }
        return Response(QuoteSerializer(quote).data)
