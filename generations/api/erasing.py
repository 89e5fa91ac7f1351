"""Receipts of what was erased, and how long things are kept."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from credits.models import Account
from generations.api.serializers import ErasureSerializer, RetentionSerializer
from generations.http.authentication import customer
from generations.http.openapi import problems
from generations.http.requests import RequestBody
from generations.models import Erasure, Generation, Retention


class NewRetention(RequestBody):
    """How long generations should be kept after their end."""

    days: Annotated[int, Field(ge=1, le=3650)] | None = Field(description="null: they are kept.")


class ErasureView(APIView):
    @extend_schema(operation_id="read_erasure", responses={200: ErasureSerializer, **problems(404)})
    def get(self, request: Request, generation_id: UUID) -> Response:
        """The receipt of an erasure."""
        mine = Generation.objects.visible_to(request.user).filter(pk=generation_id)
        return Response(ErasureSerializer(get_object_or_404(Erasure, generation__in=mine)).data)


class RetentionView(APIView):
    @extend_schema(operation_id="read_retention", responses={200: RetentionSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """How long your generations are kept."""
        return _answer(Account.objects.for_user(customer(request)))

    @extend_schema(
        operation_id="change_retention",
        request=NewRetention,
        responses={200: RetentionSerializer, **problems(400, 403, 411, 413, 415, 422)},
    )
    def put(self, request: Request) -> Response:
        """Have generations erased so many days after their end, those of today too."""
        account, days = Account.objects.for_user(customer(request)), NewRetention.read(request).days
        if days is None:
            Retention.objects.filter(account=account).delete()
        else:
            Retention.objects.update_or_create(account=account, defaults={"days": days})
        return _answer(account)


def _answer(account: Account) -> Response:
    rule = Retention.objects.filter(account=account).first()
    return Response(RetentionSerializer({"days": rule.days if rule else None}).data)
