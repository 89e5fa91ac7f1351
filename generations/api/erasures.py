"""Receipts of erasures, and the retention of an account: after how many days its generations and uploads are erased."""

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
from generations.http.authentication import authenticated_user
from generations.http.openapi import problems
from generations.http.requests import RequestBody
from generations.models import Erasure, Generation, Retention


class RetentionRequest(RequestBody):
    """The retention that an account should have."""

    days: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        description="Generations are erased this many days after they end, uploads this many days after they were "
        "created. null: they are kept."
    )


class ErasureView(APIView):
    @extend_schema(operation_id="read_erasure", responses={200: ErasureSerializer, **problems(404)})
    def get(self, request: Request, generation_id: UUID) -> Response:
        """The receipt of an erasure."""
        generations = Generation.objects.visible_to(request.user).filter(pk=generation_id)
        return Response(ErasureSerializer(get_object_or_404(Erasure, generation__in=generations)).data)


class RetentionView(APIView):
    @extend_schema(operation_id="read_retention", responses={200: RetentionSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """The retention of your generations and uploads."""
        retention = Retention.objects.filter(account__user=authenticated_user(request)).first()
        return Response(RetentionSerializer({"days": retention.days if retention else None}).data)

    @extend_schema(
        operation_id="change_retention",
        request=RetentionRequest,
        responses={200: RetentionSerializer, **problems(400, 403, 411, 413, 415, 422)},
    )
    def put(self, request: Request) -> Response:
        """Sets the retention of your generations and uploads. It also applies to those that exist already."""
        account, days = Account.objects.for_user(authenticated_user(request)), RetentionRequest.read(request).days
        Retention.objects.set_days(account.pk, days)
        return Response(RetentionSerializer({"days": days}).data)
