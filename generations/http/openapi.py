"""Parts of the OpenAPI document that the code of the views does not show: errors, headers, scopes.

The views name their problems and parameters with it. `add_scopes_and_retry_after` is a hook of drf-spectacular, set in
`config.settings`.
"""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from generations.errors import subclasses
from generations.http import authentication
from generations.http.problems import MEDIA_TYPE

# Every operation may end in one of these.
COMMON_STATUSES = (401, 403, 429, 503)


class InputErrorSerializer(serializers.Serializer[Any]):
    """What is wrong with one input, in the form of fal's own errors."""

    loc = serializers.ListField(
        child=serializers.JSONField(), help_text="The location of the wrong value: member names and list indexes."
    )
    msg = serializers.CharField()
    type = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error, as a problem document (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.CharField(help_text="Identifies the kind of error for programs. Codes do not change.")
    errors = InputErrorSerializer(  # type: ignore[assignment]  # RFC 9457's word, and DRF's
        many=True, required=False, help_text="Which inputs are wrong, and why."
    )
    needed = serializers.IntegerField(required=False, help_text="The price of the order, in credits.")
    available = serializers.IntegerField(required=False, help_text="The credits that the account has available.")
    period = serializers.ChoiceField(
        ["day", "month", "key"], required=False, help_text="The period whose spending cap is reached."
    )
    cap = serializers.IntegerField(required=False, help_text="The credits that may be spent in the period.")
    spent = serializers.IntegerField(required=False, help_text="The credits spent or held in the period.")
    until = serializers.DateTimeField(required=False, allow_null=True, help_text="When the period ends.")
    running = serializers.IntegerField(required=False, help_text="How many of your generations are in progress.")
    limit = serializers.IntegerField(required=False, help_text="How many may be in progress at once.")
    earlier = serializers.UUIDField(required=False, help_text="The earlier order that this one repeats.")


def problems(*statuses: int) -> dict[tuple[int, str], Any]:
    """Return the error responses of an operation: these statuses and the common ones, each with its codes."""
    # A client can tell from the document which codes an operation returns with a status.
    responses = {}
    for status in (*statuses, *COMMON_STATUSES):
        codes = sorted({error.code for error in subclasses() if error.status == status})
        description = ", ".join(f"`{code}`" for code in codes)
        responses[status, MEDIA_TYPE] = OpenApiResponse(ProblemSerializer, description=description)
    return responses


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="1 to 255 printable ASCII characters. A repeated request with the same key and body places no second "
    "order; it returns the first one.",
)
PREFER = OpenApiParameter(
    "Prefer",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="`wait=10` (RFC 7240) waits up to 10 seconds for the result, at most 60. The status is 201 if it "
    "arrived in time, otherwise 202.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The ETag of an earlier response. The status is 304 if nothing has changed since.",
)
TICKET = OpenApiParameter(
    "ticket",
    OpenApiTypes.STR,
    description="Opens this file without an API key until it expires. Part of a signed `url`.",
)
RANGE = OpenApiParameter("Range", OpenApiTypes.STR, OpenApiParameter.HEADER, description="For example bytes=0-1023.")

_RETRY_AFTER = {
    "description": "Seconds to wait before the request is repeated.",
    "schema": {"type": "integer", "minimum": 1},
}


def add_scopes_and_retry_after(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add to each operation the scope that it needs, as `x-scope`, and the header Retry-After to 429 and 503."""
    for path, item in result["paths"].items():
        for method, operation in item.items():
            operation["x-scope"] = authentication.scope_for(method, path)
            for status in {"429", "503"} & set(operation["responses"]):
                operation["responses"][status].setdefault("headers", {})["Retry-After"] = _RETRY_AFTER
    return result


def shorten_request_names(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Rename components such as `OrderRequestRequest` to `OrderRequest`.

    drf-spectacular appends "Request" to every request body, also to classes whose name ends with it already.
    """
    text = json.dumps(result)
    for name in result["components"]["schemas"]:
        if name.endswith("RequestRequest"):
            text = text.replace(f'"{name}"', f'"{name.removesuffix("Request")}"')
            text = text.replace(f'/{name}"', f'/{name.removesuffix("Request")}"')
    renamed: dict[str, Any] = json.loads(text)
    return renamed
