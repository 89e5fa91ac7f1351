"""Everything that happened to one's generations since a number: to catch up without webhooks."""

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
# The largest number that a database keeps.
AFTER_MAX = 2**63 - 1
AFTER = OpenApiParameter(
    "after",
    {"type": "integer", "format": "int64", "minimum": 0, "maximum": AFTER_MAX},
    description="The `after` of the answer before; at first, 0.",
)
LIMIT = OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": EVENTS_MAX}, description="How many.")


class FeedEventSerializer(EventSerializer):
    """A line of some generation's timeline."""

    generation = serializers.UUIDField(source="generation_id")
    number = serializers.IntegerField(help_text="Its place in your feed. It never changes, and none is left out.")

    class Meta:
        model = Event
        fields = ("number", "generation", *EventSerializer.Meta.fields)
        read_only_fields = fields


class FeedSerializer(serializers.Serializer[Any]):
    """Part of the feed, oldest first."""

    results = FeedEventSerializer(many=True)
    after = serializers.IntegerField(help_text="Keep it, and ask with it next time.")
    more = serializers.BooleanField(help_text="Whether something is waiting already.")
    next = serializers.URLField(help_text="Where to ask next, now or later.")


class FeedView(APIView):
    @extend_schema(
        operation_id="list_events", parameters=[AFTER, LIMIT], responses={200: FeedSerializer, **problems(400)}
    )
    def get(self, request: Request) -> Response:
        """All that has happened to your generations since `after`, oldest first, each event once and none left out."""
        after = _number(request, "after", default=0, minimum=0, maximum=AFTER_MAX)
        limit = _number(request, "limit", default=EVENTS, minimum=1, maximum=EVENTS_MAX)
        stretch = event_feed.read(Account.objects.for_user(authenticated_user(request)), after=after, limit=limit)
        follows = {"after": stretch.after, **({"limit": limit} if limit != EVENTS else {})}
        body = {
            "results": FeedEventSerializer(stretch.events, many=True).data,
            "after": stretch.after,
            "more": stretch.more,
            "next": f"{reverse('api:events', request=request)}?{urlencode(follows)}",
        }
        return Response(body, headers={"Cache-Control": "private, no-cache"})


def _number(request: Request, name: str, *, default: int, minimum: int, maximum: int) -> int:
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,19}", text) or not minimum <= int(text) <= maximum:
        detail = ErrorDetail(f"A whole number from {minimum} to {maximum}.", "invalid")
        raise ValidationError({name: [detail]})
    return int(text)
