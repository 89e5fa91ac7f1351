"""The event feed in the API: all events of an account since a cursor, for programs that catch up without webhooks."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from credits.models import Account
from generations.http.authentication import authenticated_user
from generations.http.openapi import problems
from generations.models import Event
from generations.progress.serializers import EventSerializer
from notifications import event_feed

EVENTS = 100
EVENTS_MAX = 500
# The largest number that a database stores as a bigint.
AFTER_MAX = 2**63 - 1
AFTER = OpenApiParameter(
    "after",
    {"type": "integer", "format": "int64", "minimum": 0, "maximum": AFTER_MAX},
    description="The `after` of the previous response. Start with 0.",
)
LIMIT = OpenApiParameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": EVENTS_MAX}, description="The maximum number of events."
)


class FeedEventSerializer(EventSerializer):
    """An event of one of your generations."""

    generation = serializers.UUIDField(source="generation_id")
    number = serializers.IntegerField(help_text="Its position in your feed. It never changes, and there are no gaps.")

    class Meta:
        model = Event
        fields = ("number", "generation", *EventSerializer.Meta.fields)
        read_only_fields = fields


class FeedSerializer(serializers.Serializer[Any]):
    """A part of your event feed, oldest event first."""

    results = FeedEventSerializer(many=True)
    after = serializers.IntegerField(help_text="The cursor. Store it and send it with the next request.")
    more = serializers.BooleanField(help_text="Whether further events are available now.")
    next = serializers.URLField(help_text="The URL of the next request, now or later.")


class FeedView(APIView):
    @extend_schema(
        operation_id="list_events", parameters=[AFTER, LIMIT], responses={200: FeedSerializer, **problems(400)}
    )
    def get(self, request: Request) -> Response:
        """Every event of your generations since `after`, oldest first, each exactly once."""
        after = _number(request, "after", default=0, minimum=0, maximum=AFTER_MAX)
        limit = _number(request, "limit", default=EVENTS, minimum=1, maximum=EVENTS_MAX)
        page = event_feed.read(Account.objects.for_user(authenticated_user(request)), after=after, limit=limit)
        query = {"after": page.after, **({"limit": limit} if limit != EVENTS else {})}
        body = {
            "results": FeedEventSerializer(page.events, many=True).data,
            "after": page.after,
            "more": page.has_more,
            "next": f"{reverse('api:events', request=request)}?{urlencode(query)}",
        }
        return Response(body, headers={"Cache-Control": "private, no-cache"})


def _number(request: Request, name: str, *, default: int, minimum: int, maximum: int) -> int:
    text = request.query_params.get(name, str(default))
    # Not int() alone, which also accepts other digits, spaces and underscores.
    if not re.fullmatch(r"[0-9]{1,19}", text) or not minimum <= int(text) <= maximum:
        detail = ErrorDetail(f"A whole number from {minimum} to {maximum}.", "invalid")
        raise ValidationError({name: [detail]})
    return int(text)
