"""The models that can be ordered, and quotes of what an order would cost."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generations.api.order_requests import QuoteRequest
from generations.api.serializers import ModelListSerializer, ModelSerializer, QuoteSerializer
from generations.catalogue import Inputs, Model
from generations.http.openapi import problems
from generations.ordering import price_book

# How long a price is promised, unless a change in the price book is due before. A client that must not pay more sends
# max_credits with the order.
QUOTE_VALID = timedelta(minutes=15)


class ModelsView(APIView):
    @extend_schema(operation_id="list_models", responses={200: ModelListSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """All models that can be ordered."""
        return Response(ModelListSerializer({"results": price_book.offered()}).data)


class ModelView(APIView):
    @extend_schema(operation_id="read_model", responses={200: ModelSerializer, **problems(404)})
    def get(self, request: Request, slug: str) -> Response:
        """One model, with the JSON Schema of its input."""
        return Response(ModelSerializer(price_book.find(slug)).data)


class QuotesView(APIView):
    @extend_schema(
        operation_id="quote",
        request=QuoteRequest,
        responses={200: QuoteSerializer, **problems(400, 403, 404, 411, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """The price of an order that is not placed."""
        return quote_response(*QuoteRequest.read(request).resolve())


def quote_response(model: Model, inputs: Inputs) -> Response:
    """Return the response with the price of an order. `model` is at its current price."""
    valid_until, next_change = timezone.now() + QUOTE_VALID, price_book.next_change(model.slug)
    quote = {
        "credits": model.credits(inputs),
        "basis": "exact",
        "valid_until": min(valid_until, next_change) if next_change else valid_until,
    }
    return Response(QuoteSerializer(quote).data)
