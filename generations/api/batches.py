"""Several wishes at once: ordered together or not at all, read and stopped together."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from credits.models import Account
from generations import lifecycle, services
from generations.api.order_requests import BatchRequest, located_in
from generations.api.serializers import BatchSerializer, BatchSummarySerializer, presented
from generations.http.authentication import customer
from generations.http.idempotency import RequestIdentity
from generations.http.login_required import actor_of
from generations.http.openapi import IDEMPOTENCY_KEY, IF_NONE_MATCH, problems
from generations.http.pagination import NewestFirst
from generations.models import Batch, CancelledBy, Generation
from generations.ordering.orders import find_batch
from generations.workers import tasks

# A batch is looked at as a whole, and is dearer to show than one.
RETRY_AFTER_SECONDS = 3


class BatchesView(ListAPIView[Batch]):
    serializer_class = BatchSummarySerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Batch]:
        return Batch.objects.visible_to(self.request.user).prefetch_related("generations")

    @extend_schema(operation_id="list_batches", responses={200: BatchSummarySerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Yours, newest first."""
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
        """Order one generation for each of the inputs: all of them, or none."""
        body, identity = BatchRequest.read(request), RequestIdentity.read(request)
        user = customer(request)
        account = Account.objects.for_user(user)
        # A repeated request is answered first, even if the price or the catalogue has changed since.
        if (earlier := find_batch(account, key=identity.key, request_hash=identity.request_hash)) is not None:
            return accepted(request, earlier, is_new=False)
        order = body.order(identity)
        with located_in("inputs"):
            batch, is_new = services.place_batch(account, order, actor=actor_of(user), max_credits=body.max_credits)
        return accepted(request, batch, is_new=is_new)


class BatchView(APIView):
    @extend_schema(
        operation_id="read_batch",
        parameters=[IF_NONE_MATCH],
        responses={200: BatchSerializer, 304: OpenApiResponse(description="Unchanged."), **problems(404)},
    )
    def get(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        """How each of its generations stands. `Retry-After` says when to look again; without it, all have ended."""
        batch = _find(request, batch_id)
        unchanged = get_conditional_response(request, etag=_etag(batch))
        return _dressed(unchanged or Response(_shown(request, batch)), batch)


class CancelBatchView(APIView):
    @extend_schema(operation_id="cancel_batch", request=None, responses={202: BatchSerializer, **problems(403, 404)})
    def post(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        """Stop all that can be stopped: what never ran is free again at once, of the rest fal's verdict decides."""
        batch, actor = _find(request, batch_id), actor_of(customer(request))
        for generation in batch.generations.all():
            if lifecycle.cancel_asked(generation, by=CancelledBy.CUSTOMER, actor=actor) == "asked":
                tasks.enqueue_reconcile(generation.pk)
        batch = _find(request, batch_id)
        return _dressed(Response(_shown(request, batch), status=202), batch)


def accepted(request: Request, batch: Batch, *, is_new: bool) -> Response:
    """The answer to an order of several."""
    batch = _find(request, batch.pk)
    return answered(Response(_shown(request, batch), status=202 if is_new else 200), request, batch, is_new=is_new)


def answered(response: Response, request: Request, batch: Batch, *, is_new: bool) -> Response:
    """With what belongs to an answer about a new batch."""
    if not is_new:
        response["Idempotent-Replayed"] = "true"
    response["Location"] = reverse("api:batch", args=[batch.pk], request=request)
    _dressed(response, batch)
    return response


def _presented(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    return batches.prefetch_related(Prefetch("generations", presented(Generation.objects.order_by("pk"))))


def _find(request: Request, batch_id: UUID) -> Batch:
    return get_object_or_404(_presented(Batch.objects.visible_to(request.user)), pk=batch_id)


def _shown(request: Request, batch: Batch) -> dict[str, object]:
    return dict(BatchSerializer(batch, context={"request": request}).data)


def _dressed(response: HttpResponseBase, batch: Batch) -> HttpResponseBase:
    response["ETag"] = _etag(batch)
    response["Cache-Control"] = "private, no-cache"
    if not all(generation.is_done for generation in batch.generations.all()):
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _etag(batch: Batch) -> str:
    # Versions only rise, so their sum changes whenever one of them does.
    return f'"{sum(generation.version for generation in batch.generations.all())}"'
