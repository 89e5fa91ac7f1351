"""Ordering: the hold, the generation and its first attempt, in one transaction; of a batch, all of them or none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from credits import ledger
from credits.models import Account
from generations.provider import circuit_breaker
from generations.jobs import failpoints
from generations.ordering import quotas, price_book
from generations.catalogue import Inputs, Model
from generations.lifecycle.transitions import record_event
from generations.models import Batch, Generation, Output, Status, Submission

# Who orders the same again within so long, and does not say that it is meant, has probably pressed twice.
DUPLICATE_WITHIN = timedelta(minutes=5)


class ProviderUnfunded(Exception):
    """fal refuses our key or account; nothing can be ordered until a person has mended that."""


class IdempotencyKeyReused(Exception):
    """The idempotency key belongs to another order."""


class DuplicateOrder(Exception):
    """The same was ordered a moment ago: `earlier`."""

    def __init__(self, earlier: Generation | Batch) -> None:
        self.earlier = earlier


@dataclass(frozen=True, kw_only=True)
class Order:
    """A wish, checked by the catalogue."""

    model: Model
    inputs: Inputs
    asked: Mapping[str, Any]
    """The inputs as they came."""
    preset: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    webhook_url: str = ""
    """Where its end is told, beside the customer's endpoints."""
    idempotency_key: str | None = None
    fingerprint: str = ""
    """What "the same order" means for the idempotency key."""
    deliberate: bool = True
    """Whether it is meant even if the same was ordered a moment ago."""
    retry_of: Generation | None = None
    quoted: price_book.Terms | None = None
    """What the price book says, where the caller has asked it: for many of one model at once."""

    @cached_property
    def terms(self) -> price_book.Terms:
        """What the price book says, asked once: an order has one price, also while the book turns a page."""
        return self.quoted or price_book.terms_of(self.model.slug)

    @property
    def credits(self) -> int:
        return self.model.price.at(self.terms.percent).credits(self.inputs)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        return self.model.arguments(self.inputs)

    @cached_property
    def likeness(self) -> str:
        """Of the model and all that fal is sent."""
        said = json.dumps([self.model.slug, self.arguments], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class BatchOrder:
    """Wishes that are ordered together: all of them, or none."""

    orders: Sequence[Order]
    purpose: str = ""
    notify: bool = False
    idempotency_key: str | None = None
    fingerprint: str = ""
    deliberate: bool = True

    @cached_property
    def credits(self) -> int:
        return sum(order.credits for order in self.orders)


def order(account: Account, wish: Order, *, actor: str) -> tuple[Generation, bool]:
    """The generation, and whether it is new. Nothing is left behind when this raises.

    Raises ledger.InsufficientCredits, ProviderUnfunded while fal refuses us, price_book.NotOffered for a model that
    staff took off, KeyReused when the idempotency key stands for another order, and OrderedJustNow for an order that
    may be a second click.
    """
    if (earlier := find_generation(account, key=wish.idempotency_key, fingerprint=wish.fingerprint)) is not None:
        return earlier, False
    _require_intake(wish)
    return _open(account, wish, actor=actor)


def order_batch(account: Account, wish: BatchOrder, *, actor: str) -> tuple[Batch, bool]:
    """The batch, and whether it is new; raises what `order` raises. Its price must be there as a whole."""
    if (earlier := find_batch(account, key=wish.idempotency_key, fingerprint=wish.fingerprint)) is not None:
        return earlier, False
    _require_intake(*wish.orders)
    return _open_batch(account, wish, actor=actor)


def find_generation(account: Account, *, key: str | None, fingerprint: str) -> Generation | None:
    """What this key has ordered already. Raises KeyReused when that was another order."""
    found = None if key is None else Generation.objects.filter(account=account, idempotency_key=key).first()
    _require_same(found, fingerprint)
    return found


def find_batch(account: Account, *, key: str | None, fingerprint: str) -> Batch | None:
    """The batch that this key has ordered already. Raises KeyReused when that was another order."""
    found = None if key is None else Batch.objects.filter(account=account, idempotency_key=key).first()
    _require_same(found, fingerprint)
    return found


def find_reusable(account: Account, wish: Order) -> Generation | None:
    """The owner's own earlier result of the very same wish, where a fixed seed makes it the same result."""
    if wish.arguments.get(wish.model.seed) is None:
        return None
    alike = Generation.objects.filter(account=account, likeness=wish.likeness, status=Status.COMPLETED)
    return alike.exclude(outputs__flagged=True).exclude(outputs__state=Output.State.LOST).first()


def _require_same(earlier: Generation | Batch | None, fingerprint: str) -> None:
    if earlier is not None and earlier.fingerprint != fingerprint:
        raise IdempotencyKeyReused("This Idempotency-Key was used for another order.")


def _require_intake(*orders: Order) -> None:
    for each in orders:
        price_book.require_offered(each.model, each.terms)
    if not circuit_breaker.accepts_orders():
        raise ProviderUnfunded("The service cannot order from its provider at the moment.")


@transaction.atomic
def _open(account: Account, wish: Order, *, actor: str) -> tuple[Generation, bool]:
    _lock(account)
    # Two of one key at once: the one has been let through, and the other is its repetition. Were it left to the unique
    # index to say so, it would wait there for the first one's row, and whoever works on that may wait for the account.
    if (earlier := find_generation(account, key=wish.idempotency_key, fingerprint=wish.fingerprint)) is not None:
        return earlier, False
    if not wish.deliberate:
        _refuse_second_click(
            Generation.objects.filter(account=account, likeness=wish.likeness).exclude(status=Status.FAILED)
        )
    return _create(account, wish, actor=actor), True


@transaction.atomic
def _open_batch(account: Account, wish: BatchOrder, *, actor: str) -> tuple[Batch, bool]:
    available = _lock(account).available
    if (earlier := find_batch(account, key=wish.idempotency_key, fingerprint=wish.fingerprint)) is not None:
        return earlier, False
    if not wish.deliberate:
        wanted = Generation.objects.filter(batch=OuterRef("pk")).exclude(status=Status.FAILED)
        _refuse_second_click(Batch.objects.filter(Exists(wanted), account=account, fingerprint=wish.fingerprint))
    if wish.credits > available:
        raise ledger.InsufficientCredits(needed=wish.credits, available=available)
    batch = Batch.objects.create(
        account=account,
        purpose=wish.purpose,
        notify=wish.notify,
        idempotency_key=wish.idempotency_key,
        fingerprint=wish.fingerprint,
    )
    for each in wish.orders:
        _create(account, each, actor=actor, batch=batch)
    return batch, True


def _lock(account: Account) -> Account:
    """The account's orders one after another: what is checked under it stays true until they are committed."""
    return Account.objects.select_for_update().get(pk=account.pk)


def _refuse_second_click(alike: Any) -> None:
    if earlier := alike.filter(created_at__gt=timezone.now() - DUPLICATE_WITHIN).first():
        raise DuplicateOrder(earlier)


def _create(account: Account, wish: Order, *, actor: str, batch: Batch | None = None) -> Generation:
    generation = Generation.objects.create(
        account=account,
        batch=batch,
        model=wish.model.slug,
        endpoint=wish.model.endpoint,
        kind=wish.model.kind,
        input=dict(wish.asked),
        arguments=wish.arguments,
        likeness=wish.likeness,
        preset=wish.preset,
        metadata=dict(wish.metadata),
        webhook_url=wish.webhook_url,
        idempotency_key=wish.idempotency_key,
        fingerprint=wish.fingerprint,
        retry_of=wish.retry_of,
        files_expected=wish.model.paid_files_count(wish.inputs),
        credits=wish.credits,
        list_credits=wish.model.list_price_millidollars(wish.inputs),
        next_attempt_at=timezone.now(),
        deadline_at=timezone.now() + timedelta(seconds=wish.model.deadline_seconds),
    )
    failpoints.reach("created")
    quotas.check(generation)
    ledger.hold(account, wish.credits, reference=generation.reference)
    Submission.objects.create(generation=generation)
    record_event(generation, "ordered", actor=actor, held_change=wish.credits)
    return generation
