"""Orders by API: once for each Idempotency-Key, never dearer than allowed, handed to fal at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from credits import accounts
from credits.ledger import InsufficientCredits
from credits.models import Account
from generations.ordering import order_intake, orders, quotas, price_book, input_files
from generations.http.problems import Problem
from generations.api.order_requests import BatchRequest, OrderRequest, RetryRequest, checked, told_by_place
from generations.http.idempotency import RequestIdentity
from generations.catalogue import find
from generations.models import Batch, Generation
from generations.workers import submitter

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, kw_only=True)
class Placed:
    generation: Generation
    is_new: bool
    """False when the same request had come before, or an earlier result answers it."""
    is_reused: bool = False
    """It is an earlier result, and answers this order at no charge."""


def create(user: User, wish: OrderRequest, repeatable: RequestIdentity) -> Placed:
    account = accounts.of(user)
    if placed := _placed_before(account, repeatable):
        return placed
    order = _order(wish, repeatable)
    if wish.reuse and (earlier := orders.find_reusable(account, order)):
        return Placed(generation=earlier, is_new=False, is_reused=True)
    return _place(account, order, wish.max_credits)


def create_batch(user: User, wish: BatchRequest, repeatable: RequestIdentity) -> tuple[Batch, bool]:
    """The batch, and whether it is new. Its generations are handed to fal by the workers, each in its turn."""
    if earlier := batch_before(user, repeatable):
        return earlier, False
    return place_batch(user, _batch_order(wish, repeatable), wish.max_credits)


def place_batch(user: User, order: orders.BatchOrder, max_credits: int | None) -> tuple[Batch, bool]:
    """The batch, and whether it is new."""
    _require_affordable(order.credits, max_credits)
    account = accounts.of(user)
    with told_by_place(("inputs",)):
        input_files.check_all(account, order.orders)
        return input_files.order_batch(account, order, actor=_actor(account))


def batch_before(user: User, repeatable: RequestIdentity) -> Batch | None:
    """The batch that this very request has ordered already."""
    return orders.find_batch(accounts.of(user), key=repeatable.key, fingerprint=repeatable.fingerprint)


def retry(user: User, generation: Generation, wish: RetryRequest, repeatable: RequestIdentity) -> Placed:
    """The same wish again, of one that has ended: a new generation, at today's price."""
    account = accounts.of(user)
    return _placed_before(account, repeatable) or _place(account, _again(generation, repeatable), wish.max_credits)


def _placed_before(account: Account, repeatable: RequestIdentity) -> Placed | None:
    """Asked before anything else: a repetition is answered even if the price or the catalogue have changed since."""
    earlier = orders.find_generation(account, key=repeatable.key, fingerprint=repeatable.fingerprint)
    return Placed(generation=earlier, is_new=False) if earlier else None


def _order(wish: OrderRequest, repeatable: RequestIdentity) -> orders.Order:
    model, inputs = wish.chosen()
    return orders.Order(
        model=model,
        inputs=inputs,
        asked=wish.input,
        preset=wish.preset or "",
        metadata=wish.metadata,
        webhook_url=wish.webhook_url or "",
        idempotency_key=repeatable.key,
        fingerprint=repeatable.fingerprint,
        # Who sends a key of its own with each order knows which of them are the same.
        deliberate=wish.allow_duplicate or repeatable.key is not None,
    )


def _batch_order(wish: BatchRequest, repeatable: RequestIdentity) -> orders.BatchOrder:
    model, inputs = wish.chosen()
    terms = price_book.terms_of(model.slug)
    orders = [
        orders.Order(
            model=model, inputs=read, asked=asked, preset=wish.preset or "", metadata=wish.metadata, quoted=terms
        )
        for read, asked in zip(inputs, wish.inputs, strict=True)
    ]
    return orders.BatchOrder(
        orders=orders,
        notify=wish.notify,
        idempotency_key=repeatable.key,
        fingerprint=repeatable.fingerprint,
        deliberate=wish.allow_duplicate or repeatable.key is not None,
    )


def _again(generation: Generation, repeatable: RequestIdentity) -> orders.Order:
    if not generation.is_done:
        raise Problem("not_finished", "Only what has ended can be tried again. Cancel it first.")
    if generation.erased_at:
        raise Problem("not_found", "What was asked for has been erased, so it cannot be asked for again.")
    model = find(generation.model)
    return orders.Order(
        model=model,
        inputs=checked(model, generation.input, generation.preset or None),
        asked=generation.input,
        preset=generation.preset,
        metadata=generation.metadata,
        webhook_url=generation.webhook_url,
        idempotency_key=repeatable.key,
        fingerprint=repeatable.fingerprint,
        retry_of=generation,
    )


def _place(account: Account, order: orders.Order, max_credits: int | None) -> Placed:
    _require_affordable(order.credits, max_credits)
    with told_by_place():
        input_files.check(account, order)
        generation, is_new = input_files.order(account, order, actor=_actor(account))
    if is_new:
        # Outside of any transaction, and bounded; what does not get through now, a worker tries again.
        submitter.submit_now(generation)
    return Placed(generation=generation, is_new=is_new)


def require_possible(account: Account, order: orders.BatchOrder, max_credits: int | None) -> None:
    """A look before something that takes long: whether it would be refused as things stand. It is asked again then."""
    _require_affordable(order.credits, max_credits)
    if order_intake.is_paused():
        raise quotas.Paused
    if order.credits > account.available:
        raise InsufficientCredits(needed=order.credits, available=account.available)


def _require_affordable(credits: int, max_credits: int | None) -> None:
    if max_credits is not None and credits > max_credits:
        detail = f"This costs {credits} credits, and max_credits is {max_credits}."
        raise Problem("max_credits_exceeded", detail, needed=credits)


def _actor(account: Account) -> str:
    return f"user:{account.user.get_username()}"
