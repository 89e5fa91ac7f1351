"""Places orders. The hold, the generation, its input files and its first submission are written in one transaction.

Called by `services` only. A batch is placed as a whole or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from credits import ledger
from credits.models import Account
from credits.statements import lock
from database import clock, timeouts
from database.statements import Insert
from database.transactions import UNAVAILABLE, foreign_keys_checked_at_once, repeat
from database.vendor import vendor
from generations.errors import MaxCreditsExceeded, ProviderUnfunded
from generations.jobs import failpoints
from generations.lifecycle import statements
from generations.lifecycle.submitting import SUBMITTING_SECONDS_MAX, new_submission
from generations.lifecycle.transitions import Fact, new_event
from generations.models import Batch, Generation, InputFile, Phase, Status, Submission, Upload
from generations.models.statements import show_without_query
from generations.ordering import input_files, price_book, quotas
from generations.ordering.orders import (
    BatchOrder,
    DuplicateOrder,
    Order,
    find_batch,
    find_generation,
    find_repetition,
)
from generations.ordering.statements import OrderContext, order_context
from generations.progress.event_hook import events_recorded, reads_of
from generations.provider import circuit_breaker, dispatch_queue

logger = logging.getLogger(__name__)

# The same order again within this time, without an idempotency key, is probably a second click.
DUPLICATE_WITHIN = timedelta(minutes=5)


class Placed(NamedTuple):
    """An order that was placed now, or before with the same idempotency key."""

    generation: Generation
    is_new: bool
    submission: Submission | None = None
    """Recorded as sent: the caller sends it now. None leaves it to the workers."""


class PlacedBatch(NamedTuple):
    """A batch that was ordered now, or before with the same idempotency key."""

    batch: Batch
    is_new: bool


Parameters = ParamSpec("Parameters")
OneOrMany = TypeVar("OneOrMany", Placed, PlacedBatch)


def _transaction(
    place: Callable[Concatenate[Account, Parameters], OneOrMany],
) -> Callable[Concatenate[Account, Parameters], OneOrMany]:
    """Decorate a function that places an order: it runs in a transaction, whose outcome is found out.

    A connection that is lost in COMMIT does not tell whether the order exists. The client would send it again.
    """

    @wraps(place)
    def run(account: Account, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> OneOrMany:
        placed = None
        try:
            with foreign_keys_checked_at_once(), transaction.atomic():
                placed = place(account, *args, **kwargs)
        except UNAVAILABLE:
            # After `place` has returned only COMMIT can fail. SQLite is in this process, so its error is an answer.
            if placed is None or vendor() == "sqlite" or not _is_committed(account, placed[0]):
                raise
            logger.warning("the connection was lost in COMMIT, and the order exists", extra={"order": str(placed[0])})
        return placed

    return run


def _is_committed(account: Account, row: Generation | Batch) -> bool:
    """Return whether a row of an order exists. Waits for the transaction that inserts it, should that still run."""

    def exists() -> bool:
        lock_account(account)
        return type(row)._default_manager.filter(pk=row.pk).exists()

    # The time of the request may be used up, which is one way to lose the connection.
    with timeouts.limited(separately=True):
        return repeat(exists)


def order(account: Account, order: Order, *, actor: str, max_credits: int | None = None, send: bool = False) -> Placed:
    """Place an order.

    Args:
        max_credits: refuse the order if its price is higher.
        send: record the submission as sent, unless others wait for fal.

    Nothing is left behind when this raises: InsufficientCredits, quotas.OrderRefused, ProviderUnfunded while fal
    refuses Limn's account, NotOffered for a model that is not on offer, InvalidInput for an input file that was
    deleted in the meantime, MaxCreditsExceeded, IdempotencyKeyReused, DuplicateOrder.
    """
    try:
        return _order(account, order, actor=actor, max_credits=max_credits, send=send)
    except dispatch_queue.RateLimitReached:
        # Nothing was written. The workers send it. While it waits, no other order comes this far.
        return _order(account, order, actor=actor, max_credits=max_credits, send=False)


@_transaction
def _order(account: Account, order: Order, *, actor: str, max_credits: int | None, send: bool) -> Placed:
    lock_account(account)
    known = _read_context(account, order.model.slug, order)
    # Of two requests with one key, the second finds the row of the first, because it has waited for the lock.
    if known.earlier is not None:
        earlier = find_generation(account, key=order.idempotency_key, request_hash=order.request_hash)
        if earlier is not None:
            return Placed(earlier, is_new=False)
    if (duplicated := _find_duplicated(order, known)) is not None:
        raise DuplicateOrder(duplicated)
    order.use_terms(price_book.terms(known.percent, known.is_offered))
    price_book.require_offered(order.model, order.terms)
    _require_provider(known)
    if max_credits is not None and order.credits > max_credits:
        raise MaxCreditsExceeded(needed=order.credits, max_credits=max_credits)
    quotas.check(known, credits=[order.credits], model=order.model.slug)
    is_sent = send and not known.others_wait and not known.is_breaker_open
    (generation,), (submission,) = _create(account, [order], known=known, actor=actor, is_sent=is_sent)
    if is_sent:
        # Last: every order of every customer needs this row.
        dispatch_queue.acquire()
    return Placed(generation, is_new=True, submission=submission if is_sent else None)


@_transaction
def order_batch(account: Account, order: BatchOrder, *, actor: str) -> PlacedBatch:
    """Place all orders of a batch, or none.

    Raises what `order` raises. The price of the whole batch must be available at once.
    """
    available = lock_account(account).available
    # Under the lock, as in `order`.
    if (earlier := find_batch(account, key=order.idempotency_key, request_hash=order.request_hash)) is not None:
        return PlacedBatch(earlier, is_new=False)
    if not order.allow_duplicate:
        not_failed = Generation.objects.filter(batch=OuterRef("pk")).exclude(status=Status.FAILED)
        alike = Batch.objects.filter(Exists(not_failed), account=account, request_hash=order.request_hash)
        if found := alike.filter(created_at__gt=clock.now() - DUPLICATE_WITHIN).first():
            raise DuplicateOrder(found.pk)
    known = _read_context(account, order.orders[0].model.slug)
    for each in order.orders:
        price_book.require_offered(each.model, each.terms)
    _require_provider(known)
    # Compared here too, so that the error names what is available before anything of the batch is held.
    if order.credits > available:
        raise ledger.InsufficientCredits(needed=order.credits, available=available)
    batch = Batch(
        account=account,
        purpose=order.purpose,
        notify=order.notify,
        idempotency_key=order.idempotency_key,
        request_hash=order.request_hash,
    )
    quotas.check(known, credits=[each.credits for each in order.orders], model=order.orders[0].model.slug)
    batch.new_generations, _ = _create(account, order.orders, known=known, actor=actor, batch=batch)
    return PlacedBatch(batch, is_new=True)


def lock_account(account: Account) -> Account:
    """Lock the account's row, so its orders are placed one after another: quotas checked under it stay true."""
    return lock(account.pk)


def _find_duplicated(order: Order, known: OrderContext) -> UUID | None:
    """Return the earlier generation that makes this order a second click, unless the client allows a duplicate."""
    earlier = order.retry_of
    if earlier is None or order.allow_duplicate:
        return known.alike
    return find_repetition(order, earlier, since=known.now - DUPLICATE_WITHIN)


def _read_context(account: Account, model: str, order: Order | None = None) -> OrderContext:
    return order_context(
        account.pk,
        model=model,
        idempotency_key=order.idempotency_key if order else None,
        arguments_hash=None if order is None or order.allow_duplicate or order.retry_of else order.arguments_hash,
        alike_since=clock.now() - DUPLICATE_WITHIN,
    )


def _require_provider(known: OrderContext) -> None:
    if known.is_breaker_open and not circuit_breaker.accepts_orders():
        raise ProviderUnfunded


def _create(
    account: Account,
    orders: Sequence[Order],
    *,
    known: OrderContext,
    actor: str,
    batch: Batch | None = None,
    is_sent: bool = False,
) -> tuple[list[Generation], list[Submission]]:
    """Write generations and all that belongs to them. The caller holds the account's lock and the transaction.

    Args:
        is_sent: The submissions are recorded as sent, and their generations as submitting.
    """
    generations = [_new_generation(account, order, known, batch) for order in orders]
    files_of = _input_files(account, orders, generations)
    for generation in generations:
        show_without_query(generation, files_of[generation.pk])
    submissions = [new_submission(generation) for generation in generations]
    events = [
        new_event(generation, Fact(name="ordered", actor=actor, held_change=generation.credits))
        for generation in generations
    ]
    if is_sent:
        for generation, submission in zip(generations, submissions, strict=True):
            submission.state, submission.sent_at = Submission.State.SENT, clock.now()
            generation.phase, generation.version = Phase.SUBMITTING, generation.version + 1
            # Now, so that nothing can fail between the commit and the POST.
            input_files.add_urls(generation, files_of[generation.pk])
            # If the sender dies, the reconciler finds the row at this time.
            generation.next_attempt_at = known.now + timedelta(seconds=SUBMITTING_SECONDS_MAX)
            events.append(new_event(generation, Fact(name="submitting", actor="limn")))
    failpoints.reach("created")
    values = ledger.hold_all(
        account,
        {generation.reference: generation.credits for generation in generations},
        together=[
            *([Insert([batch])] if batch else []),
            Insert(generations),
            Insert(submissions),
            Insert(events),
            Insert([file for files in files_of.values() for file in files]),
            *statements.add_spending(generations),
            *([dispatch_queue.served(account.pk)] if is_sent else []),
        ],
        reads=reads_of(account.pk),
    )
    events_recorded(events, values)
    return generations, submissions


def _new_generation(account: Account, order: Order, known: OrderContext, batch: Batch | None) -> Generation:
    generation = Generation(
        account=account,
        batch=batch,
        api_key_id=known.api_key_id,
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
        created_at=known.now,
        next_attempt_at=known.now,
        deadline_at=known.now + timedelta(seconds=order.model.deadline_seconds),
    )
    generation.set_now(known.now)
    return generation


def _input_files(
    account: Account, orders: Sequence[Order], generations: Sequence[Generation]
) -> dict[UUID, list[InputFile]]:
    """Return the rows of the uploads and outputs that the orders use, by the ids of their generations.

    The files are locked until the commit, so none can be erased between this check and the order.
    """
    named = {
        # In a batch, the location of an error begins with the index of its order.
        (replace(place, loc=(index, *place.loc)) if len(orders) > 1 else place): (generations[index], place.path)
        for index, order in enumerate(orders)
        for place in order.file_inputs
    }
    files_of: dict[UUID, list[InputFile]] = {generation.pk: [] for generation in generations}
    for place, file in input_files.find_own_files(account, named, lock=True).items() if named else ():
        generation, path = named[place]
        upload, output = (file, None) if isinstance(file, Upload) else (None, file)
        files_of[generation.pk].append(InputFile(generation=generation, path=path, upload=upload, output=output))
    return files_of
