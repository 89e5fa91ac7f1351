"""Progress as it happens: server-sent events of a generation, and of a batch.

A stream holds a thread of the web server, so there are few at once in each process (`patience.seat`). Whoever finds no
seat hears what is known now, and his EventSource asks again in two seconds: polling, by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from psycopg_pool import PoolTimeout
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from generations.api.outputs import AnyContent
from generations.http import long_polling
from generations.http.openapi import problems
from generations.models import Batch, Generation
from generations.progress.event_stream import EventStream, Subject

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
SECONDS_BETWEEN_LOOKS = 0.5
# Whoever has gone away is noticed when we write to him; until then he keeps his seat.
HEARTBEAT_SECONDS = 10.0
# Then the seat goes round: an EventSource comes back by itself, and queues up like everybody.
STREAM_SECONDS_MAX = 300.0
RETRY_MILLISECONDS = 2000
# nginx would collect the events of minutes before it passes them on.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The id of the last event that you have, to go on behind it. An EventSource sends it by itself.",
)
_EVENTS = (
    "Events `progress` (how far it is, 0 to 100, of the job or of one `file_id` of it), `log` (a line of the model's) "
    "and at last `end`. Comment lines keep the connection alive."
)


class StreamedEventSerializer(serializers.Serializer[Any]):
    """One event, by its fields. (Before 3.2, OpenAPI has no word for a stream: what is described is each event.)"""

    id = serializers.CharField(help_text="For `Last-Event-ID`.")
    event = serializers.ChoiceField(["progress", "log", "end"])
    data = serializers.CharField(  # type: ignore[assignment]  # the word of server-sent events, and DRF's
        help_text="A JSON object. Its `type` is the event's, its `job_id` what you follow."
    )


STREAMED: dict[Any, Any] = {
    (200, MEDIA_TYPE): OpenApiResponse(StreamedEventSerializer, description=_EVENTS),
    204: OpenApiResponse(description="You have had the end. An EventSource asks no more."),
    **problems(404),
}


class GenerationStreamView(APIView):
    content_negotiation_class = AnyContent

    @extend_schema(operation_id="stream_generation", parameters=[LAST_EVENT_ID], responses=STREAMED)
    def get(self, request: Request, generation_id: UUID) -> HttpResponseBase:
        """How it goes on, as server-sent events, each once. One that has ended says so at once."""
        mine = Generation.objects.visible_to(request.user).only("pk")
        return _streamed(request, Subject.of(get_object_or_404(mine, pk=generation_id)))

    @extend_schema(exclude=True)
    def head(self, request: Request, generation_id: UUID) -> HttpResponseBase:
        get_object_or_404(Generation.objects.visible_to(request.user).only("pk"), pk=generation_id)
        return HttpResponse(content_type=MEDIA_TYPE, headers=HEADERS)


class BatchStreamView(APIView):
    content_negotiation_class = AnyContent

    @extend_schema(operation_id="stream_batch", parameters=[LAST_EVENT_ID], responses=STREAMED)
    def get(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        """How each of it goes on, as server-sent events, each once: `file_id` names the generation."""
        return _streamed(request, Subject.of(get_object_or_404(Batch.objects.visible_to(request.user), pk=batch_id)))

    @extend_schema(exclude=True)
    def head(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        get_object_or_404(Batch.objects.visible_to(request.user), pk=batch_id)
        return HttpResponse(content_type=MEDIA_TYPE, headers=HEADERS)


def _streamed(request: Request, job: Subject) -> HttpResponseBase:
    listener = EventStream.back(job, request.headers.get("Last-Event-ID", ""))
    if listener.is_over:
        return HttpResponse(status=204, headers=HEADERS)
    return StreamingHttpResponse(_followed(listener), content_type=MEDIA_TYPE, headers=HEADERS)


def _followed(listener: EventStream) -> Iterator[str]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    try:
        with long_polling.slot() as seated:
            yield from _as_it_happens(listener, seconds=STREAM_SECONDS_MAX if seated else 0)
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        # The headers have left. Who comes back hears 503, or goes on where he was.
        logger.warning("a stream broke off: the database is away", extra={"error": f"{error}"[:200]})


def _as_it_happens(listener: EventStream, *, seconds: float) -> Iterator[str]:
    ends_at = time.monotonic() + seconds
    spoke_at = time.monotonic()
    while True:
        news = _look(listener)
        if not news and time.monotonic() - spoke_at >= HEARTBEAT_SECONDS:
            news = ": still here\n\n"
        if news:
            yield news
            spoke_at = time.monotonic()
        if listener.is_over or time.monotonic() >= ends_at:
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _look(listener: EventStream) -> str:
    try:
        return listener.news()
    finally:
        # Others need it while we wait. (Only a test looks from within a transaction.)
        if not connection.in_atomic_block:
            connection.close()
