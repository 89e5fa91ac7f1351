"""Batches: generations that are ordered together or not at all, and read and cancelled together.

`api.infographics` places batches as well, and answers with `order_response`.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db.models import Count, Prefetch, Q, QuerySet, Sum, prefetch_related_objects
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import api_keys
from accounts.models import ApiKey
from credits.models import Account
from generations import services
from generations.api.order_requests import BatchRequest, located_in
from generations.api.polling import AnyResponse, add_polling_headers
from generations.api.serializers import BatchSerializer, BatchSummarySerializer
from generations.api.statements import Found, find_batch_with_key
from generations.http.authentication import authenticated_user
from generations.http.idempotency import RequestIdentity
from generations.http.login_required import actor_of
from generations.http.openapi import IDEMPOTENCY_KEY, IF_NONE_MATCH, problems
from generations.http.pagination import NewestFirst
from generations.models import Batch, CancelledBy, Generation, Phase
from generations.models.statements import with_related_rows
from generations.ordering.orders import find_batch

logger = logging.getLogger(__name__)

# A batch of 200 is expensive to render, so clients are asked to poll it less often than a single generation.
RETRY_AFTER_SECONDS = 3


class BatchesView(ListAPIView[Batch]):
    serializer_class = BatchSummarySerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Batch]:
        # A page may have thousands of generations, of which only the totals are shown.
        totals = Generation.objects.only("batch_id", "status", "phase", "credits", "captured", "released")
        return Batch.objects.visible_to(self.request.user).prefetch_related(Prefetch("generations", totals))

    @extend_schema(operation_id="list_batches", responses={200: BatchSummarySerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Your batches, newest first, without their generations."""
        return super().get(request)

    @extend_schema(
        operation_id="create_batch",
        request=BatchRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={
            200: BatchSerializer,
            202: BatchSerializer,
            **problems(400, 402, 403, 404, 409, 411, 413, 415, 422),
        },
    )
    def post(self, request: Request) -> Response:
        """Orders one generation for each of the inputs: all of them, or none."""
        body, identity = BatchRequest.read(request), RequestIdentity.read(request)
        user = authenticated_user(request)
        account = Account.objects.for_user(user)
        # A repeated request is answered first, even if the price or the catalogue has changed since.
        if (earlier := find_batch(account, key=identity.key, request_hash=identity.request_hash)) is not None:
            return order_response(request, earlier, is_new=False)
        order = body.order(identity)
        with located_in("inputs"):
            batch, is_new = services.place_batch(account, order, actor=actor_of(user), max_credits=body.max_credits)
        return order_response(request, batch, is_new=is_new)


class BatchView(APIView):
    _found: Found[Batch] | None = None
    """What `find_key` has found. None: the request came without a usable key."""

    def find_key(self, plain: str) -> ApiKey | None:
        """Find the key of the request, and the state of the batch that its URL names, with one statement."""
        self._found = find_batch_with_key(api_keys.digest(plain), self.kwargs["batch_id"])
        if self._found is None:
            return None
        api_keys.record_use(self._found.key)
        return self._found.key

    @extend_schema(
        operation_id="read_batch",
        parameters=[IF_NONE_MATCH],
        responses={200: BatchSerializer, 304: OpenApiResponse(description="Not modified."), **problems(404)},
    )
    def get(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        """The current state of its generations. `Retry-After` is absent once all of them have ended."""
        if self._found is not None:
            batch = self._found.row
        else:
            batch = _with_state(Batch.objects.visible_to(request.user)).filter(pk=batch_id).first()
        if batch is None:
            raise NotFound
        etag = f'"{batch.versions}"'  # type: ignore[attr-defined]
        unchanged = get_conditional_response(request, etag=etag)
        if unchanged is not None:
            retry_after_seconds = RETRY_AFTER_SECONDS if batch.open_count else None  # type: ignore[attr-defined]
            return add_polling_headers(unchanged, etag=etag, retry_after_seconds=retry_after_seconds)
        prefetch_related_objects([batch], _generations())
        return _add_headers(Response(_serialize(request, batch)), batch)


class CancelBatchView(APIView):
    @extend_schema(operation_id="cancel_batch", request=None, responses={202: BatchSerializer, **problems(403, 404)})
    def post(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        """Cancels all of its generations that have not ended.

        The credits of those that had not been submitted are available again at once. Of the others, the provider's
        verdict decides what is charged.
        """
        batch = get_object_or_404(Batch.objects.visible_to(request.user), pk=batch_id)
        services.cancel_batch(batch, by=CancelledBy.CUSTOMER, actor=actor_of(authenticated_user(request)))
        # As the cancellations have left it.
        batch = _find(request, batch_id)
        return _add_headers(Response(_serialize(request, batch), status=202), batch)


def order_response(
    request: Request, batch: Batch, *, is_new: bool, serializer: type[Serializer[Batch]] = BatchSerializer
) -> Response:
    """Return the response to an order of a batch.

    Args:
        is_new: False if the same request placed the batch before.
        serializer: How to render the batch.
    """
    try:
        # Once more, with all that is rendered, and as the order has left it.
        batch = _find(request, batch.pk)
    except Exception:
        if not is_new:
            raise
        # The order is committed, so its client must learn of it. It is shown as it was placed.
        logger.exception("a new batch could not be read", extra={"batch": str(batch.pk)})
        batch.keep_generations()
    response = Response(_serialize(request, batch, serializer), status=202 if is_new else 200)
    if not is_new:
        response["Idempotent-Replayed"] = "true"
    response["Location"] = reverse("api:batch", args=[batch.pk], request=request)
    return _add_headers(response, batch)


def _find(request: Request, batch_id: UUID) -> Batch:
    return get_object_or_404(Batch.objects.visible_to(request.user).prefetch_related(_generations()), pk=batch_id)


def _generations() -> Prefetch[str]:
    return Prefetch("generations", with_related_rows(Generation.objects.order_by("pk")))


def _with_state(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    """Add what `statements.batch_state` selects."""
    is_open = ~Q(generations__phase=Phase.DONE)
    return batches.annotate(versions=Sum("generations__version"), open_count=Count("generations", filter=is_open))


def _serialize(
    request: Request, batch: Batch, serializer: type[Serializer[Batch]] = BatchSerializer
) -> dict[str, object]:
    return dict(serializer(batch, context={"request": request}).data)


def _add_headers(response: AnyResponse, batch: Batch) -> AnyResponse:
    is_done = all(generation.is_done for generation in batch.generations.all())
    return add_polling_headers(
        response, etag=_etag(batch), retry_after_seconds=None if is_done else RETRY_AFTER_SECONDS
    )


def _etag(batch: Batch) -> str:
    # Versions only rise, so their sum changes whenever one of them does.
    return f'"{sum(generation.version for generation in batch.generations.all())}"'
