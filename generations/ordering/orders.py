"""What is ordered: one generation, or a batch of them; and the search for an earlier order that is the same.

The API, the pages and the command line build an `Order`; `services` places it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from credits.models import Account
from generations.catalogue import Inputs, Model
from generations.catalogue.files import FileInput, find_file_inputs
from generations.errors import DomainError
from generations.models import Batch, Generation, Output, Status
from generations.ordering import price_book


class IdempotencyKeyReused(DomainError):
    """The idempotency key belongs to another request."""

    code, status, title = "idempotency_mismatch", 422, "Idempotency key reused"
    default_detail = "This Idempotency-Key was used for another order."


class DuplicateOrder(DomainError):
    """The same was ordered within the last minutes, without an idempotency key. The problem names it as `earlier`."""

    code, status, title = "duplicate_request", 409, "Duplicate order"
    default_detail = (
        "You ordered the same within the last minutes. If you mean it, send it again with allow_duplicate: true."
    )

    def __init__(self, earlier: UUID) -> None:
        super().__init__(earlier=str(earlier))
        self.earlier = earlier


@dataclass(frozen=True, kw_only=True)
class Order:
    """One generation to be made. Its inputs were validated by the catalogue."""

    model: Model
    inputs: Inputs
    raw_input: Mapping[str, Any]
    """The inputs as the client sent them."""
    preset: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    webhook_url: str = ""
    """Notified when this generation ends, beside the account's endpoints."""
    idempotency_key: str | None = None
    request_hash: str = ""
    """SHA-256 of the request: an idempotency key stands for one request only."""
    allow_duplicate: bool = True
    """Accept the order even if the same was ordered a moment ago."""
    retry_of: Generation | None = None
    """The ended generation that the order repeats, whether it has failed or is completed."""
    known_terms: price_book.Terms | None = None
    """The terms of the price book, if the caller has read them: saves one query for each order of a batch."""

    @cached_property
    def terms(self) -> price_book.Terms:
        """The terms of the price book, read once: an order has one price even if the book changes meanwhile."""
        return self.known_terms or price_book.terms_of(self.model.slug)

    def use_terms(self, terms: price_book.Terms) -> None:
        """Let the order have these terms, unless it has read its own before."""
        self.__dict__.setdefault("terms", self.known_terms or terms)

    @property
    def credits(self) -> int:
        """The price, in credits."""
        return self.model.price.at(self.terms.percent).credits(self.inputs)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What fal is sent."""
        return self.model.arguments(self.inputs)

    @property
    def has_fixed_seed(self) -> bool:
        """Whether the customer has chosen the seed, so that the result is the same each time."""
        return self.arguments.get(self.model.seed) is not None

    @cached_property
    def file_inputs(self) -> list[FileInput]:
        """The inputs that name a file, by URL or as an own upload or output."""
        return list(find_file_inputs(self.model.schema, self.arguments))

    @cached_property
    def arguments_hash(self) -> str:
        """SHA-256 (hex) of the model and of everything that fal is sent."""
        canonical = json.dumps([self.model.slug, self.arguments], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class BatchOrder:
    """Orders that are placed together: all of them, or none."""

    orders: Sequence[Order]
    purpose: str = ""
    notify: bool = False
    """Send an e-mail when the whole batch has ended."""
    idempotency_key: str | None = None
    request_hash: str = ""
    allow_duplicate: bool = True

    @cached_property
    def credits(self) -> int:
        """The price of the whole batch, in credits."""
        return sum(order.credits for order in self.orders)


def find_generation(account: Account, *, key: str | None, request_hash: str) -> Generation | None:
    """Return the generation that was ordered with this idempotency key.

    Raises IdempotencyKeyReused for another request.
    """
    found = None if key is None else Generation.objects.filter(account=account, idempotency_key=key).first()
    if found is not None and found.request_hash != request_hash:
        raise IdempotencyKeyReused
    return found


def find_batch(account: Account, *, key: str | None, request_hash: str) -> Batch | None:
    """Return the batch that was ordered with this idempotency key. Raises IdempotencyKeyReused for another request."""
    found = None if key is None else Batch.objects.filter(account=account, idempotency_key=key).first()
    if found is not None and found.request_hash != request_hash:
        raise IdempotencyKeyReused
    return found


def find_repetition(order: Order, earlier: Generation, *, since: datetime) -> UUID | None:
    """Return a generation that repeats `earlier` already, as `order` would: a second click finds that of the first.

    It was ordered since then and has not failed. It counts if it repeats `earlier`, directly or as the retry of a
    failed repetition, or if it is an order of its own that came after the end of `earlier`. A repetition of another
    generation with the same arguments does not count: of a batch of equal images, each failed one can be retried.
    """
    alike = Generation.objects.filter(account=earlier.account_id, arguments_hash=order.arguments_hash)
    rows = alike.filter(created_at__gt=since).values_list("pk", "retry_of", "status", "created_at")
    repeated = {key: before for key, before, _, _ in rows}
    for key, before, status, created_at in rows:
        ancestor = before
        while ancestor not in {None, earlier.pk}:
            ancestor = repeated.get(ancestor)
        is_later_order = before is None and earlier.finished_at is not None and created_at >= earlier.finished_at
        if status != Status.FAILED and (ancestor == earlier.pk or is_later_order):
            return key
    return None


def find_reusable(account: Account, order: Order) -> Generation | None:
    """Return the account's completed generation of exactly this order, if a fixed seed makes the result the same."""
    if not order.has_fixed_seed:
        return None
    alike = Generation.objects.filter(account=account, arguments_hash=order.arguments_hash, status=Status.COMPLETED)
    return alike.exclude(outputs__flagged=True).exclude(outputs__state=Output.State.LOST).first()
