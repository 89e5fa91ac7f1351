"""Places orders. The hold, the generation, its input files and its first submission are written in one transaction.

Called by `services` only. A batch is placed as a whole or not at all.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from credits import ledger
from credits.models import Account
from generations.errors import ProviderUnfunded
from generations.jobs import failpoints
from generations.lifecycle.transitions import record_event
from generations.models import Batch, Generation, InputFile, Output, Status, Submission, Upload
from generations.ordering import input_files, price_book, quotas
from generations.ordering.orders import BatchOrder, DuplicateOrder, Order, find_batch, find_generation
from generations.provider import circuit_breaker

# The same order again within this time, without an idempotency key, is probably a second click.
DUPLICATE_WITHIN = timedelta(minutes=5)


def order(account: Account, order: Order, *, actor: str) -> tuple[Generation, bool]:
    """Place an order. Returns the generation, and False if it was ordered with the same idempotency key before.

    Nothing is left behind when this raises: InsufficientCredits, quotas.OrderRefused, ProviderUnfunded while fal
    refuses Limn's account, NotOffered for a model that is not on offer, InvalidInput for an input file that was
    deleted in the meantime, IdempotencyKeyReused, DuplicateOrder.
    """
    if (earlier := find_generation(account, key=order.idempotency_key, request_hash=order.request_hash)) is not None:
        return earlier, False
    _require_model_and_provider(order)
    with transaction.atomic():
        lock_account(account)
        # Asked again under the lock: of two requests with one key, the second must find the first one's row. If the
        # unique index decided instead, the second would wait there, holding the lock that workers of the first need.
        earlier = find_generation(account, key=order.idempotency_key, request_hash=order.request_hash)
        if earlier is not None:
            return earlier, False
        if not order.allow_duplicate:
            alike = Generation.objects.filter(account=account, arguments_hash=order.arguments_hash)
            _refuse_duplicate(alike.exclude(status=Status.FAILED))
        return _create(account, order, actor=actor), True


def order_batch(account: Account, order: BatchOrder, *, actor: str) -> tuple[Batch, bool]:
    """Place all orders of a batch, or none. Returns the batch, and False if it was ordered with the same key before.

    Raises what `order` raises. The price of the whole batch must be available at once.
    """
    if (earlier := find_batch(account, key=order.idempotency_key, request_hash=order.request_hash)) is not None:
        return earlier, False
    _require_model_and_provider(*order.orders)
    with transaction.atomic():
        available = lock_account(account).available
        # Asked again under the lock, as in `order`.
        if (earlier := find_batch(account, key=order.idempotency_key, request_hash=order.request_hash)) is not None:
            return earlier, False
        if not order.allow_duplicate:
            not_failed = Generation.objects.filter(batch=OuterRef("pk")).exclude(status=Status.FAILED)
            alike = Batch.objects.filter(Exists(not_failed), account=account, request_hash=order.request_hash)
            _refuse_duplicate(alike)
        # Compared here too, so that the error names the price of the whole batch and not that of the order that fails.
        if order.credits > available:
            raise ledger.InsufficientCredits(needed=order.credits, available=available)
        batch = Batch.objects.create(
            account=account,
            purpose=order.purpose,
            notify=order.notify,
            idempotency_key=order.idempotency_key,
            request_hash=order.request_hash,
        )
        for each in order.orders:
            _create(account, each, actor=actor, batch=batch)
        return batch, True


def lock_account(account: Account) -> Account:
    """Lock the account's row, so its orders are placed one after another: quotas checked under it stay true."""
    return Account.objects.select_for_update().get(pk=account.pk)


def _require_model_and_provider(*orders: Order) -> None:
    for order in orders:
        price_book.require_offered(order.model, order.terms)
    if not circuit_breaker.accepts_orders():
        raise ProviderUnfunded


def _refuse_duplicate(alike: QuerySet[Generation] | QuerySet[Batch]) -> None:
    if earlier := alike.filter(created_at__gt=timezone.now() - DUPLICATE_WITHIN).first():
        raise DuplicateOrder(earlier)


def _create(account: Account, order: Order, *, actor: str, batch: Batch | None = None) -> Generation:
    """Write one generation and all that belongs to it. The caller holds the account's lock and the transaction."""
    generation = Generation.objects.create(
        account=account,
        batch=batch,
        model=order.model.slug,
        endpoint=order.model.endpoint,
        kind=order.model.kind,
        input=dict(order.raw_input),
        arguments=order.arguments,
        arguments_hash=order.arguments_hash,
        preset=order.preset,
        metadata=dict(order.metadata),
        webhook_url=order.webhook_url,
        idempotency_key=order.idempotency_key,
        request_hash=order.request_hash,
        retry_of=order.retry_of,
        files_expected=order.model.paid_files_count(order.inputs),
        credits=order.credits,
        list_price_millidollars=order.model.list_price_millidollars(order.inputs),
        next_attempt_at=timezone.now(),
        deadline_at=timezone.now() + timedelta(seconds=order.model.deadline_seconds),
    )
    failpoints.reach("created")
    # After the row exists: the quota of running generations counts holds, and the API key is written on the row.
    quotas.check(generation)
    ledger.hold(account, order.credits, reference=generation.reference)
    Submission.objects.create(generation=generation)
    # The files are locked until the commit, so none can be erased between this check and the order.
    files = input_files.find_own_files(account, order.file_inputs, lock=True)
    InputFile.objects.bulk_create(
        InputFile(
            generation=generation,
            path=place.path,
            upload=file if isinstance(file, Upload) else None,
            output=file if isinstance(file, Output) else None,
        )
        for place, file in files.items()
    )
    record_event(generation, "ordered", actor=actor, held_change=order.credits)
    return generation
