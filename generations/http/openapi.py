"""What the OpenAPI document says about errors, parameters and headers that the code alone does not show."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from errors import subclasses
from generations.http.problems import MEDIA_TYPE


class InputErrorSerializer(serializers.Serializer[Any]):
    loc = serializers.ListField(child=serializers.JSONField(), help_text="Where, from the outside inwards.")
    msg = serializers.CharField()
    type = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error, by RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.CharField(help_text="For programs; it never changes.")
    errors = InputErrorSerializer(  # type: ignore[assignment]  # RFC 9457's word, and DRF's
        many=True, required=False, help_text="Which inputs are wrong, and why."
    )
    needed = serializers.IntegerField(required=False, help_text="Credits that it costs.")
    available = serializers.IntegerField(required=False, help_text="Credits that you have.")
    period = serializers.ChoiceField(["day", "month", "key"], required=False, help_text="What has a cap.")
    cap = serializers.IntegerField(required=False, help_text="Credits that may be spent in it.")
    spent = serializers.IntegerField(required=False, help_text="Credits of it that are spent, or held.")
    until = serializers.DateTimeField(required=False, allow_null=True, help_text="When the period is over.")
    running = serializers.IntegerField(required=False, help_text="Generations of yours that are under way.")
    limit = serializers.IntegerField(required=False, help_text="As many may be.")
    earlier = serializers.UUIDField(required=False, help_text="What you ordered just now.")


def problems(*statuses: int) -> dict[tuple[int, str], Any]:
    """The responses of an operation that ends in one of these, or in what may befall every one."""
    return {
        (status, MEDIA_TYPE): OpenApiResponse(ProblemSerializer, description=_codes(status))
        for status in (*statuses, 401, 403, 429, 503)
    }


def _codes(status: int) -> str:
    codes = sorted({error.code for error in subclasses() if error.status == status})
    return ", ".join(f"`{code}`" for code in codes)


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="1 to 255 printable characters. The same key and body again give the same generation, once.",
)
PREFER = OpenApiParameter(
    "Prefer",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="`wait=10` (RFC 7240) waits so many seconds for the end, at most 60: 201 if it came in time, else 202.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The ETag that you have: 304 if it holds."
)
TICKET = OpenApiParameter(
    "ticket", OpenApiTypes.STR, description="Opens this one file without a key, for a while. Part of an output's `url`."
)
RANGE = OpenApiParameter("Range", OpenApiTypes.STR, OpenApiParameter.HEADER, description="For example bytes=0-1023.")
