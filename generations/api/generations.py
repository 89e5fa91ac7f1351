"""Generations: placing an order, listing, reading, cancelling, repeating and erasing.

`GenerationsView.post` is where an order enters through the API; `services.place_order` does the rest.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts import api_keys
from accounts.models import ApiKey
from credits.models import Account
from generations import lifecycle, services
from generations.api.catalogue import quote_response
from generations.api.filters import GenerationFilter, StrictFilters
from generations.api.order_requests import AgainRequest, OrderRequest, RetryRequest, located_in
from generations.api.polling import AnyResponse, add_polling_headers
from generations.api.representation import Links, represent_found
from generations.api.serializers import ErasureSerializer, GenerationSerializer, QuoteSerializer
from generations.api.statements import Found, find_generation_with_key
from generations.errors import AlreadyFinished, DomainError
from generations.http import long_polling
from generations.http.authentication import authenticated_user
from generations.http.idempotency import RequestIdentity
from generations.http.login_required import actor_of
from generations.http.openapi import IDEMPOTENCY_KEY, IF_NONE_MATCH, PREFER, problems
from generations.http.pagination import NewestFirst, OldestFirst
from generations.models import CancelledBy, Event, Generation, GenerationQuerySet, Phase
from generations.models.statements import STATE, everything, is_complete, read_all, with_related_rows
from generations.ordering.orders import find_generation
from generations.progress.serializers import EventSerializer
from generations.services import PlacedOrder

logger = logging.getLogger(__name__)

# An image is ready in seconds. After a wait of minutes, as for a video, a few seconds more do not matter: clients are
# asked to poll after an eighth of the generation's age.
RETRY_AFTER_SECONDS_MIN = 1
RETRY_AFTER_SECONDS_MAX = 30
AGE_DIVISOR = 8

ORDER_RESPONSES: dict[Any, Any] = {
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
        return with_related_rows(Generation.objects.visible_to(self.request.user))

    @extend_schema(operation_id="list_generations", responses={200: GenerationSerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Your generations, newest first. `metadata.<key>=<value>` finds those that you have marked with it."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        links = Links.of(request)
        return self.get_paginated_response([represent_found(generation, links=links) for generation in page or []])

    @extend_schema(
        operation_id="create_generation",
        request=OrderRequest,
        parameters=[IDEMPOTENCY_KEY, PREFER],
        responses={201: GenerationSerializer, **ORDER_RESPONSES},
    )
    def post(self, request: Request) -> Response:
        """Places an order. Its price is held now, and charged when its files are in storage."""
        body, identity = OrderRequest.read(request), RequestIdentity.read(request)
        user = authenticated_user(request)
        account = Account.objects.read_with(user)
        try:
            order = body.order(identity)
            with located_in("input"):
                placed = services.place_order(
                    account, order, actor=actor_of(user), max_credits=body.max_credits, reuse=body.reuse
                )
        except DomainError:
            # A repeated request is answered with the first one's generation, even if it would be refused today.
            earlier = find_generation(account, key=identity.key, request_hash=identity.request_hash)
            if earlier is None:
                raise
            placed = PlacedOrder(generation=earlier, is_new=False)
        return _order_response(request, placed, wait_seconds=long_polling.preferred_wait_seconds(request))


class GenerationView(APIView):
    _found: Found[Generation] | None = None
    """What `find_key` has found. None: the request came without a usable key."""

    def find_key(self, plain: str) -> ApiKey | None:
        """Find the key of the request, and the generation that its URL names, with one statement."""
        self._found = find_generation_with_key(
            api_keys.digest(plain),
            self.kwargs["generation_id"],
            # A client that names the state that it has probably has the current one. The rest is read if it has not.
            STATE if "HTTP_IF_NONE_MATCH" in self.request.META else everything(),
        )
        if self._found is None:
            return None
        api_keys.record_use(self._found.key)
        return self._found.key

    @extend_schema(
        operation_id="read_generation",
        parameters=[IF_NONE_MATCH],
        responses={200: GenerationSerializer, 304: OpenApiResponse(description="Not modified."), **problems(404)},
    )
    def get(self, request: Request, generation_id: UUID) -> HttpResponseBase:
        """The current state. `Retry-After` says when to poll again; it is absent once the generation has ended."""
        generation = _find(request, generation_id) if self._found is None else self._found.row
        if generation is None:
            raise NotFound
        unchanged = get_conditional_response(request, etag=_etag(generation))
        if unchanged is not None:
            return _add_headers(unchanged, generation)
        if not is_complete(generation):
            generation = read_all(generation.pk)
        return _add_headers(Response(_serialize(request, generation)), generation)

    @extend_schema(
        operation_id="erase_generation",
        responses={200: ErasureSerializer, 202: ErasureSerializer, **problems(403, 404, 409)},
    )
    def delete(self, request: Request, generation_id: UUID) -> Response:
        """Erases the inputs and the results. The price and the ledger entries remain. Returns the receipt.

        202: the files are being deleted. 200: everything is deleted. A repeated request returns the same receipt.
        """
        generation = _find(request, generation_id)
        # An erasure cannot be undone, so a key for orders must not reach the results of other keys.
        if not api_keys.may_erase(generation.api_key_id):
            raise PermissionDenied("This key erases only what was ordered with it; the scope “manage” erases anything.")
        receipt = lifecycle.erase(generation, actor=actor_of(authenticated_user(request)))
        return Response(ErasureSerializer(receipt).data, status=200 if receipt.done_at else 202)


class CancelView(APIView):
    @extend_schema(
        operation_id="cancel_generation",
        request=None,
        responses={200: GenerationSerializer, 202: GenerationSerializer, **problems(403, 404, 409)},
    )
    def post(self, request: Request, generation_id: UUID) -> HttpResponseBase:
        """Cancels the generation.

        200: it is cancelled, and its credits are available again. 202: the provider is asked to stop, and
        its verdict decides what is charged.
        """
        generation = _find(request, generation_id)
        actor = actor_of(authenticated_user(request))
        answer = services.cancel(generation, by=CancelledBy.CUSTOMER, actor=actor)
        if answer == "finished":
            raise AlreadyFinished("It has ended, or its result is being copied into storage.")
        # As the cancellation has left it.
        generation = read_all(generation_id)
        status = 200 if answer == "released" else 202
        return _add_headers(Response(_serialize(request, generation), status=status), generation)


class RetryView(APIView):
    @extend_schema(
        operation_id="retry_generation",
        request=RetryRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses=ORDER_RESPONSES,
    )
    def post(self, request: Request, generation_id: UUID) -> Response:
        """Orders the same as a failed or cancelled generation, as a new generation at the current price.

        A generation has one retry at a time: if the same was ordered since it failed, in the last five minutes, the
        answer is 409, which names that order as `earlier`. To repeat a completed generation, use `again`.
        """
        generation = _find(request, generation_id)
        body, identity = RetryRequest.read(request), RequestIdentity.read(request, retry_of=str(generation_id))
        user = authenticated_user(request)
        # The model may have changed since: an input that it no longer accepts is named like that of an order.
        with located_in("input"):
            placed = services.retry(
                Account.objects.for_user(user),
                generation,
                actor=actor_of(user),
                idempotency_key=identity.key,
                request_hash=identity.request_hash,
                # With an idempotency key the client says itself which requests are the same.
                allow_duplicate=body.allow_duplicate or identity.key is not None,
                max_credits=body.max_credits,
            )
        return _order_response(request, placed)


class AgainView(APIView):
    @extend_schema(
        operation_id="quote_again",
        responses={200: QuoteSerializer, **problems(404, 409, 422)},
    )
    def get(self, request: Request, generation_id: UUID) -> Response:
        """The price of ordering the same as a completed generation once more. It may have changed since."""
        with located_in("input"):
            order = services.completed_order(_find(request, generation_id))
        return quote_response(order.model, order.inputs)

    @extend_schema(
        operation_id="order_again",
        request=AgainRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses=ORDER_RESPONSES,
    )
    def post(self, request: Request, generation_id: UUID) -> Response:
        """Orders the same as a completed generation once more, as a new generation.

        `credits` is the price that you agree to, as a GET of the same URL returns it. At another price nothing is
        ordered, and the answer is 409, `price_changed`. A repeated request is refused as for a retry.
        """
        generation = _find(request, generation_id)
        body, identity = AgainRequest.read(request), RequestIdentity.read(request, again=str(generation_id))
        user = authenticated_user(request)
        with located_in("input"):
            placed = services.order_again(
                Account.objects.for_user(user),
                generation,
                credits=body.credits,
                actor=actor_of(user),
                idempotency_key=identity.key,
                request_hash=identity.request_hash,
                allow_duplicate=body.allow_duplicate or identity.key is not None,
            )
        return _order_response(request, placed)


class EventsView(ListAPIView[Event]):
    serializer_class = EventSerializer
    pagination_class = OldestFirst
    # drf-spectacular reads the model from it.
    queryset = Event.objects.none()

    @extend_schema(operation_id="list_generation_events", responses={200: EventSerializer, **problems(400, 404)})
    def get(self, request: Request, generation_id: UUID) -> Response:
        """The timeline: what happened, caused by whom, and how it changed your credits. Oldest first."""
        self.queryset = _find(request, generation_id).events.all()
        return super().get(request)


def _find(request: Request, generation_id: UUID) -> Generation:
    return get_object_or_404(Generation.objects.visible_to(request.user), pk=generation_id)


def _serialize(request: Request, generation: Generation) -> dict[str, object]:
    return represent_found(generation, links=Links.of(request))


def _order_response(request: Request, placed: PlacedOrder, *, wait_seconds: int = 0) -> Response:
    """Return the response to an order.

    Args:
        wait_seconds: How long to wait for the result first. 0: not at all.
    """
    generation = placed.generation
    if placed.submission is not None:
        # Everything is in hand, so no query is needed to show it.
        generation.fal_request_id = placed.submission.request_id  # type: ignore[attr-defined]
    if wait_seconds or placed.submission is None:
        try:
            if wait_seconds:
                ended = Generation.objects.filter(pk=generation.pk, phase=Phase.DONE)
                long_polling.wait_until(ended.exists, seconds=wait_seconds)
            # With its current state: the workers, or the wait, have changed it.
            generation = read_all(generation.pk)
        except Exception:
            if not placed.is_new:
                raise
            # The order is committed, so its client must learn of it. It is shown as it was placed.
            logger.exception("a new order could not be read", extra={"generation": str(generation.pk)})
    body = _serialize(request, generation)
    # A client that did not ask to wait gets 202 even if fal has refused the order already: it has to read the result
    # in any case.
    status = 200 if not placed.is_new else 201 if wait_seconds and generation.is_done else 202
    response = Response(body, status=status)
    if wait_seconds:
        response["Preference-Applied"] = f"wait={wait_seconds}"
    if not placed.is_new:
        response["Limn-Reused" if placed.is_reused else "Idempotent-Replayed"] = "true"
    response["Location"] = reverse("api:generation", args=[generation.pk], request=request)
    return _add_headers(response, generation)


def _add_headers(response: AnyResponse, generation: Generation) -> AnyResponse:
    retry_after_seconds = None
    if not generation.is_done:
        age = (timezone.now() - generation.created_at).total_seconds()
        retry_after_seconds = max(RETRY_AFTER_SECONDS_MIN, min(int(age / AGE_DIVISOR), RETRY_AFTER_SECONDS_MAX))
    return add_polling_headers(response, etag=_etag(generation), retry_after_seconds=retry_after_seconds)


def _etag(generation: Generation) -> str:
    return f'"{generation.version}"'
