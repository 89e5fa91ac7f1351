"""Places, repeats and cancels orders, for the API, the pages, the admin and the command line.

The cheapest checks come first: the price against the client's limit, then the input files (which may be
fetched), then everything that the lifecycle checks in its transaction. A new generation is handed to fal at once,
outside of any transaction; if that fails, a worker submits it. Once an order is committed nothing is raised: its client
would take it for refused.
"""

from __future__ import annotations

import logging
from copy import copy
from dataclasses import dataclass, replace

from django.contrib.auth.models import User

from credits.ledger import InsufficientCredits
from credits.models import Account
from generations import lifecycle
from generations.errors import AlreadyFinished, MaxCreditsExceeded, NotCompleted, NotFinished, NotFound, PriceChanged
from generations.models import Batch, CancelledBy, Generation, Status, Submission
from generations.models.statements import is_complete
from generations.ordering import input_files, order_intake, price_book, quotas
from generations.ordering.orders import BatchOrder, Order, find_generation, find_reusable
from generations.workers import submitter, tasks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    generation: Generation
    is_new: bool
    """False if the same request came before, or an earlier result answers it."""
    is_reused: bool = False
    """The generation is an earlier result that answers this order, at no charge."""
    submission: Submission | None = None
    """The submission of a new order, if fal has accepted it and the generation is up to date."""


def account_of(user: User) -> Account:
    """Return the account that pays the orders of a user; the first call creates it."""
    return Account.objects.for_user(user)


def place_order(
    account: Account, order: Order, *, actor: str, max_credits: int | None = None, reuse: bool = False
) -> PlacedOrder:
    """Place one order and submit it to fal.

    Args:
        actor: who orders, as the event stores it ("user:ann", "staff:command line"). Customers see only the part before
            the colon.
        max_credits: refuse the order if its price is higher.
        reuse: accept the account's earlier result of exactly this order, at no charge.

    Raises MaxCreditsExceeded, FilesUnreachable, concurrency.Busy, SandboxUnavailable, and what `lifecycle.order`
    raises.
    """
    if reuse and (earlier := find_reusable(account, order)) is not None:
        return PlacedOrder(generation=earlier, is_new=False, is_reused=True)
    if order.file_inputs:
        # A repeated request is answered before files are fetched, which takes seconds.
        earlier = find_generation(account, key=order.idempotency_key, request_hash=order.request_hash)
        if earlier is not None:
            return PlacedOrder(generation=earlier, is_new=False)
        input_files.check(account, order)
    placed = lifecycle.order(account, order, actor=actor, max_credits=max_credits, send=submitter.sends_new_orders())
    if placed.submission is None:
        if placed.is_new:
            tasks.wake("submitter")
        return PlacedOrder(generation=placed.generation, is_new=placed.is_new)
    # The order is committed. Whatever happens from here on, it is placed: the workers find its row.
    submission, as_committed = placed.submission, copy(placed.generation)
    try:
        submitter.send_new(submission)
    except Exception:
        logger.exception("a new order was not sent, or fal's answer not recorded", extra={"order": str(as_committed)})
        return PlacedOrder(generation=as_committed, is_new=True)
    # If its row was locked and read again meanwhile, it lacks what is rendered beside the row.
    generation = submission.generation if is_complete(submission.generation) else as_committed
    is_in_hand = submission.request_id is not None and generation is submission.generation
    return PlacedOrder(generation=generation, is_new=True, submission=submission if is_in_hand else None)


def place_batch(
    account: Account, batch: BatchOrder, *, actor: str, max_credits: int | None = None
) -> tuple[Batch, bool]:
    """Place all orders of a batch, or none. Returns the batch, and False if the same request came before.

    The workers submit its generations, each in its turn. Raises what `place_order` raises; the location of an input
    error begins with the index of its order.
    """
    _require_max_credits(batch.credits, max_credits)
    input_files.check_all(account, batch.orders)
    placed = lifecycle.order_batch(account, batch, actor=actor)
    tasks.wake("submitter")
    return placed.batch, placed.is_new


def require_possible(account: Account, batch: BatchOrder, *, max_credits: int | None = None) -> None:
    """Refuse a batch that could not be placed as things stand, before slow work is done for it.

    `place_batch` checks all of it again. Raises MaxCreditsExceeded, quotas.Paused, InsufficientCredits.
    """
    _require_max_credits(batch.credits, max_credits)
    if order_intake.is_paused():
        raise quotas.Paused
    if batch.credits > account.available:
        raise InsufficientCredits(needed=batch.credits, available=account.available)


def retry(
    account: Account,
    earlier: Generation,
    *,
    actor: str,
    idempotency_key: str | None,
    request_hash: str,
    allow_duplicate: bool = False,
    max_credits: int | None = None,
) -> PlacedOrder:
    """Order a failed generation once more, as a new generation at the current price.

    Args:
        allow_duplicate: accept the order even if it was retried a moment ago. An idempotency key does not imply it.

    Raises AlreadyFinished for a completed generation, what `repetition_of` raises, and what `place_order` raises.
    """
    # A repeated request is answered first, even if the price or the catalogue has changed since.
    if (placed := find_generation(account, key=idempotency_key, request_hash=request_hash)) is not None:
        return PlacedOrder(generation=placed, is_new=False)
    if earlier.status == Status.COMPLETED and not earlier.erased_at:
        raise AlreadyFinished("It is completed. To order the same once more, use …/again/, which names the price.")
    order = replace(
        repetition_of(earlier),
        idempotency_key=idempotency_key,
        request_hash=request_hash,
        allow_duplicate=allow_duplicate,
    )
    return place_order(account, order, actor=actor, max_credits=max_credits)


def order_again(
    account: Account,
    earlier: Generation,
    *,
    credits: int,
    actor: str,
    idempotency_key: str | None,
    request_hash: str,
    allow_duplicate: bool = False,
) -> PlacedOrder:
    """Order a completed generation once more, as a new generation, at the price that the client has seen.

    Args:
        credits: the price that the client agrees to.
        allow_duplicate: as for `retry`.

    Raises NotCompleted, PriceChanged, what `repetition_of` raises, and what `place_order` raises.
    """
    if (placed := find_generation(account, key=idempotency_key, request_hash=request_hash)) is not None:
        return PlacedOrder(generation=placed, is_new=False)
    order = completed_order(earlier)
    if order.credits != credits:
        raise PriceChanged(needed=order.credits, agreed=credits)
    order = replace(
        order,
        # The same terms, so that it cannot cost anything else by the time it is placed.
        known_terms=order.terms,
        idempotency_key=idempotency_key,
        request_hash=request_hash,
        allow_duplicate=allow_duplicate,
    )
    return place_order(account, order, actor=actor)


def completed_order(earlier: Generation) -> Order:
    """Return the order that repeats a completed generation. Raises NotCompleted, and what `repetition_of` raises."""
    if earlier.status == Status.FAILED:
        raise NotCompleted("It has failed. To order it once more, retry it.")
    if earlier.status != Status.COMPLETED:
        raise NotCompleted("Only a completed generation can be ordered again. Wait until it is completed.")
    return repetition_of(earlier)


def repetition_of(earlier: Generation) -> Order:
    """Return the order that repeats an ended generation, at the current price.

    Raises NotFinished, NotFound if what was ordered has been erased, UnknownModel if the model is no longer offered,
    and InvalidInput if it no longer accepts the inputs.
    """
    if not earlier.is_done:
        raise NotFinished("Only a generation that has ended can be retried. Cancel it first.")
    if earlier.erased_at:
        raise NotFound("What was ordered has been erased, so it cannot be ordered again.")
    model = price_book.find(earlier.model)
    return Order(
        model=model,
        inputs=model.read(earlier.input, preset=earlier.preset or None),
        raw_input=earlier.input,
        preset=earlier.preset,
        metadata=earlier.metadata,
        webhook_url=earlier.webhook_url,
        retry_of=earlier,
    )


def cancel(generation: Generation, *, by: CancelledBy, actor: str) -> lifecycle.CancelAnswer:
    """Cancel a generation; if fal has it, a worker passes the cancellation on at once. Returns what happens.

    "released": it is cancelled, and its credits are available again. "asked": fal's verdict decides. "finished": it is
    too late.
    """
    answer = lifecycle.cancel_asked(generation, by=by, actor=actor)
    if answer == "asked":
        tasks.enqueue_reconcile(generation.pk)
    return answer


def cancel_batch(batch: Batch, *, by: CancelledBy, actor: str) -> None:
    """Cancel the generations of a batch that have not ended; a worker passes the cancellations on to fal at once.

    Those that other transactions have locked follow one by one: each waits for its lock while it holds no other.
    """
    lifecycle.cancel_batch(batch, by=by, actor=actor)
    for generation in batch.generations.in_progress().filter(cancel_asked_at=None):
        lifecycle.cancel_asked(generation, by=by, actor=actor)
    tasks.wake("reconciler")


def _require_max_credits(credits: int, max_credits: int | None) -> None:
    if max_credits is not None and credits > max_credits:
        raise MaxCreditsExceeded(needed=credits, max_credits=max_credits)
