"""Wishes: made, listed, read, stopped, tried again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts import api_keys
from credits.models import Account
from generations import lifecycle, services
from generations.api.filters import GenerationFilter, StrictFilters
from generations.api.order_requests import OrderRequest, RetryRequest, located_in
from generations.api.serializers import ErasureSerializer, GenerationSerializer, presented
from generations.errors import AlreadyFinished
from generations.http import long_polling
from generations.http.authentication import customer
from generations.http.idempotency import RequestIdentity
from generations.http.login_required import actor_of
from generations.http.openapi import IDEMPOTENCY_KEY, IF_NONE_MATCH, PREFER, problems
from generations.http.pagination import NewestFirst, OldestFirst
from generations.models import CancelledBy, Event, Generation, GenerationQuerySet, Phase
from generations.ordering.orders import find_generation
from generations.progress.serializers import EventSerializer
from generations.services import PlacedOrder
from generations.workers import tasks

# A picture is there in seconds; who has waited ten minutes for a video need not look every second.
RETRY_AFTER_SECONDS_MIN = 1
RETRY_AFTER_SECONDS_MAX = 30
PART_OF_ITS_AGE = 8

ORDERED: dict[Any, Any] = {
    200: GenerationSerializer,
    202: GenerationSerializer,
    **problems(400, 402, 403, 404, 409, 411, 413, 415, 422),
}


class GenerationsView(ListAPIView[Generation]):
    serializer_class = GenerationSerializer
    pagination_class = NewestFirst
    filter_backends = [StrictFilters]
    filterset_class = GenerationFilter

    def get_queryset(self) -> GenerationQuerySet:
        return presented(Generation.objects.visible_to(self.request.user))

    @extend_schema(operation_id="list_generations", responses={200: GenerationSerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Yours, newest first. `metadata.<key>=<value>` finds those that you marked so."""
        return super().get(request)

    @extend_schema(
        operation_id="create_generation",
        request=OrderRequest,
        parameters=[IDEMPOTENCY_KEY, PREFER],
        responses={201: GenerationSerializer, **ORDERED},
    )
    def post(self, request: Request) -> Response:
        """Order one. Its price is held at once, and charged when its files lie in storage."""
        body, identity = OrderRequest.read(request), RequestIdentity.read(request)
        user = customer(request)
        account = Account.objects.for_user(user)
        # A repeated request is answered first, even if the price or the catalogue has changed since.
        earlier = find_generation(account, key=identity.key, request_hash=identity.request_hash)
        if earlier is not None:
            placed = PlacedOrder(generation=earlier, is_new=False)
        else:
            order = body.order(identity)
            with located_in("input"):
                placed = services.place_order(
                    account, order, actor=actor_of(user), max_credits=body.max_credits, reuse=body.reuse
                )
        return _accepted(request, placed, wait_seconds=long_polling.preferred_seconds(request))


class GenerationView(APIView):
    @extend_schema(
        operation_id="read_generation",
        parameters=[IF_NONE_MATCH],
        responses={200: GenerationSerializer, 304: OpenApiResponse(description="Unchanged."), **problems(404)},
    )
    def get(self, request: Request, generation_id: UUID) -> HttpResponseBase:
        """How it stands. `Retry-After` says when to look again; without it, it has ended."""
        generation = _find(request, generation_id)
        unchanged = get_conditional_response(request, etag=_etag(generation))
        return _dressed(unchanged or Response(_shown(request, generation)), generation)

    @extend_schema(
        operation_id="erase_generation",
        responses={200: ErasureSerializer, 202: ErasureSerializer, **problems(403, 404, 409)},
    )
    def delete(self, request: Request, generation_id: UUID) -> Response:
        """Erase what you asked for and what was made of it; what it cost stays. The answer is the receipt.

        202: the files are being deleted. 200: everything is gone. Asked again, the receipt is the same.
        """
        generation = _find(request, generation_id)
        if not api_keys.may_erase(generation.api_key_id):
            raise PermissionDenied("This key erases only what was ordered with it; the scope “manage” erases anything.")
        receipt = lifecycle.erase(generation, actor=actor_of(customer(request)))
        return Response(ErasureSerializer(receipt).data, status=200 if receipt.done_at else 202)


class CancelView(APIView):
    @extend_schema(
        operation_id="cancel_generation",
        request=None,
        responses={200: GenerationSerializer, 202: GenerationSerializer, **problems(403, 404, 409)},
    )
    def post(self, request: Request, generation_id: UUID) -> HttpResponseBase:
        """Stop it. 200: it never ran, and its credits are free again. 202: fal was asked; its verdict decides."""
        generation = _find(request, generation_id)
        answer = lifecycle.cancel_asked(generation, by=CancelledBy.CUSTOMER, actor=actor_of(customer(request)))
        if answer == "finished":
            raise AlreadyFinished("It has ended, or its result is being copied into storage.")
        if answer == "asked":
            tasks.enqueue_reconcile(generation.pk)
        generation = _find(request, generation_id)
        status = 200 if answer == "released" else 202
        return _dressed(Response(_shown(request, generation), status=status), generation)


class RetryView(APIView):
    @extend_schema(
        operation_id="retry_generation",
        request=RetryRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses=ORDERED,
    )
    def post(self, request: Request, generation_id: UUID) -> Response:
        """The same again as a generation of its own, at today's price; only when this one has ended."""
        generation = _find(request, generation_id)
        body, identity = RetryRequest.read(request), RequestIdentity.read(request, retry_of=str(generation_id))
        user = customer(request)
        with located_in("input"):
            placed = services.retry(
                Account.objects.for_user(user),
                generation,
                actor=actor_of(user),
                idempotency_key=identity.key,
                request_hash=identity.request_hash,
                max_credits=body.max_credits,
            )
        return _accepted(request, placed)


class EventsView(ListAPIView[Event]):
    serializer_class = EventSerializer
    pagination_class = OldestFirst
    queryset = Event.objects.none()

    @extend_schema(operation_id="list_generation_events", responses={200: EventSerializer, **problems(400, 404)})
    def get(self, request: Request, generation_id: UUID) -> Response:
        """Its timeline: what happened, by whom, and what that did to your credits. Oldest first."""
        self.queryset = _find(request, generation_id).events.all()
        return super().get(request)


def _find(request: Request, generation_id: UUID) -> Generation:
    return get_object_or_404(presented(Generation.objects.visible_to(request.user)), pk=generation_id)


def _shown(request: Request, generation: Generation) -> dict[str, object]:
    return dict(GenerationSerializer(generation, context={"request": request}).data)


def _accepted(request: Request, placed: PlacedOrder, *, wait_seconds: int = 0) -> Response:
    if wait_seconds:
        long_polling.wait(lambda: _is_done(placed.generation.pk), seconds=wait_seconds)
    generation = _find(request, placed.generation.pk)
    # Who did not ask to wait is told that it goes on, even if fal refused it within the moment.
    status = 200 if not placed.is_new else 201 if wait_seconds and generation.is_done else 202
    response = Response(_shown(request, generation), status=status)
    if wait_seconds:
        response["Preference-Applied"] = f"wait={wait_seconds}"
    if not placed.is_new:
        response["Limn-Reused" if placed.is_reused else "Idempotent-Replayed"] = "true"
    response["Location"] = reverse("api:generation", args=[generation.pk], request=request)
    _dressed(response, generation)
    return response


def _is_done(generation_id: UUID) -> bool:
    return Generation.objects.filter(pk=generation_id, phase=Phase.DONE).exists()


def _dressed(response: HttpResponseBase, generation: Generation) -> HttpResponseBase:
    """With what a client needs to ask again wisely."""
    response["ETag"] = _etag(generation)
    response["Cache-Control"] = "private, no-cache"
    if not generation.is_done:
        response["Retry-After"] = str(_retry_after_seconds(generation))
    return response


def _retry_after_seconds(generation: Generation) -> int:
    age = (timezone.now() - generation.created_at).total_seconds()
    return max(RETRY_AFTER_SECONDS_MIN, min(int(age / PART_OF_ITS_AGE), RETRY_AFTER_SECONDS_MAX))


def _etag(generation: Generation) -> str:
    return f'"{generation.version}"'
