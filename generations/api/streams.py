"""Event streams: the progress of a generation or a batch as server-sent events.

`progress.event_stream` decides which events there are; this module sends them. A stream occupies a thread of the web
server, so few are open at once in each process (`http.long_polling`). A client that finds no free slot gets the
current state, and its EventSource reconnects after two seconds: it polls.
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

from generations.api.file_content import AnyContent
from generations.http import long_polling
from generations.http.openapi import problems
from generations.models import Batch, Generation
from generations.progress.event_stream import EventStream, Subject

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
POLL_SECONDS = 0.5
# A client that has disconnected is noticed when something is written to it. Until then it occupies a slot.
HEARTBEAT_SECONDS = 10.0
# Then the slot becomes free for another client. An EventSource reconnects by itself.
STREAM_SECONDS_MAX = 300.0
RETRY_MILLISECONDS = 2000
# X-Accel-Buffering: nginx would otherwise collect the events of minutes before it passes them on.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The id of the last event that was received, to resume after it. An EventSource sends it by itself.",
)


class StreamedEventSerializer(serializers.Serializer[Any]):
    """The fields of one event. OpenAPI before 3.2 cannot describe a stream."""

    id = serializers.CharField(help_text="The value of `Last-Event-ID` with which the stream resumes after this event.")
    event = serializers.ChoiceField(["progress", "log", "end"])
    data = serializers.CharField(  # type: ignore[assignment]  # the word of server-sent events, and DRF's
        help_text="A JSON object. `type` repeats the event; `job_id` is the id of the generation or batch."
    )


STREAM_RESPONSES: dict[Any, Any] = {
    (200, MEDIA_TYPE): OpenApiResponse(
        StreamedEventSerializer,
        description="Events `progress` (0 to 100, of the whole or of one `file_id` of it), `log` (a log line of the "
        "model) and finally `end`. Comment lines keep the connection open.",
    ),
    204: OpenApiResponse(description="The `end` event was received before. An EventSource stops at this status."),
    **problems(404),
}


class GenerationStreamView(APIView):
    content_negotiation_class = AnyContent

    @extend_schema(operation_id="stream_generation", parameters=[LAST_EVENT_ID], responses=STREAM_RESPONSES)
    def get(self, request: Request, generation_id: UUID) -> HttpResponseBase:
        """The progress of a generation as server-sent events, each of them once, until it has ended."""
        generations = Generation.objects.visible_to(request.user).only("pk")
        return _stream_response(request, Subject.of(get_object_or_404(generations, pk=generation_id)))

    @extend_schema(exclude=True)
    def head(self, request: Request, generation_id: UUID) -> HttpResponseBase:
        get_object_or_404(Generation.objects.visible_to(request.user).only("pk"), pk=generation_id)
        return HttpResponse(content_type=MEDIA_TYPE, headers=HEADERS)


class BatchStreamView(APIView):
    content_negotiation_class = AnyContent

    @extend_schema(operation_id="stream_batch", parameters=[LAST_EVENT_ID], responses=STREAM_RESPONSES)
    def get(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        """The progress of a batch as server-sent events, each of them once. `file_id` is the id of a generation."""
        batch = get_object_or_404(Batch.objects.visible_to(request.user), pk=batch_id)
        return _stream_response(request, Subject.of(batch))

    @extend_schema(exclude=True)
    def head(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        get_object_or_404(Batch.objects.visible_to(request.user), pk=batch_id)
        return HttpResponse(content_type=MEDIA_TYPE, headers=HEADERS)


def _stream_response(request: Request, subject: Subject) -> HttpResponseBase:
    stream = EventStream.resume(subject, request.headers.get("Last-Event-ID", ""))
    if stream.is_over:
        return HttpResponse(status=204, headers=HEADERS)
    return StreamingHttpResponse(_follow(stream), content_type=MEDIA_TYPE, headers=HEADERS)


def _follow(stream: EventStream) -> Iterator[str]:
    """Yield the text of the stream, as it is sent: until everything has ended, or for STREAM_SECONDS_MAX."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    try:
        with long_polling.slot() as has_slot:
            sent_at = time.monotonic()
            # Without a slot the current state is sent, and nothing is waited for.
            ends_at = sent_at + (STREAM_SECONDS_MAX if has_slot else 0)
            while True:
                try:
                    text = stream.next_events()
                finally:
                    # While it waits, a stream must not occupy a connection to the database. (Only tests run a view
                    # inside of a transaction.)
                    if not connection.in_atomic_block:
                        connection.close()
                if not text and time.monotonic() - sent_at >= HEARTBEAT_SECONDS:
                    text = ": still here\n\n"
                if text:
                    yield text
                    sent_at = time.monotonic()
                if stream.is_over or time.monotonic() >= ends_at:
                    return
                time.sleep(POLL_SECONDS)
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        # The status has been sent, so the stream can only end. The client reconnects, and gets 503 or the rest.
        logger.warning("an event stream ended: the database is unavailable", extra={"error": f"{error}"[:200]})
