"""The price book: what the operator charges for each model at present, and whether it is offered.

The catalogue declares the list price of a model. An entry of the price book sets a percentage of that, or withdraws the
model, from a given time on. Entries are only added; of those that have begun, the one with the latest beginning counts.
An order freezes its price, so the price book never changes what a generation costs that was ordered before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from database import clock
from generations import catalogue
from generations.catalogue import Inputs, Model, UnknownModel
from generations.models import PriceBookEntry


class NotOffered(UnknownModel):
    """The model exists, but the price book has withdrawn it."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what terms a model is offered."""

    percent: int = 100
    """Of the list price."""
    offered: bool = True


LIST_TERMS = Terms()


def terms(percent: int | None, offered: bool) -> Terms:
    """Return the terms that an entry of the price book sets."""
    return Terms(percent=100 if percent is None else percent, offered=offered)


def terms_of(slug: str) -> Terms:
    """Return the current terms of a model."""
    entry = PriceBookEntry.objects.in_force(clock.now()).filter(model=slug).last()
    return LIST_TERMS if entry is None else terms(entry.percent, entry.offered)


def all_terms() -> dict[str, Terms]:
    """Return the current terms of each model that has an entry, in one query."""
    in_force = PriceBookEntry.objects.in_force(clock.now()).values_list("model", "percent", "offered")
    return {slug: terms(percent, offered) for slug, percent, offered in in_force}


def find(slug: str) -> Model:
    """Return the model with its current price. Raises UnknownModel, NotOffered."""
    model, terms = catalogue.find(slug), terms_of(slug)
    require_offered(model, terms)
    return _at_price(model, terms)


def offered() -> list[Model]:
    """Return all models that are offered, with their current prices, in the order of the catalogue."""
    book = all_terms()
    on_terms = [(model, book.get(slug, LIST_TERMS)) for slug, model in catalogue.MODELS.items()]
    return [_at_price(model, terms) for model, terms in on_terms if terms.offered]


def is_offered(slug: str) -> bool:
    """Return whether a model of this name exists and is offered."""
    return slug in catalogue.MODELS and terms_of(slug).offered


def require_offered(model: Model, terms: Terms) -> None:
    """Raise NotOffered if these are the terms of a model that is not offered."""
    if not terms.offered:
        raise NotOffered(f"“{model.slug}” is not offered at present.")


def credits(model: Model, inputs: Inputs) -> int:
    """Return the current price of an order with these inputs, in credits."""
    return model.price.at(terms_of(model.slug).percent).credits(inputs)


def next_change(slug: str) -> datetime | None:
    """Return when the next entry of this model takes effect, or None if there is none in the future."""
    future = PriceBookEntry.objects.filter(model=slug, effective_from__gt=clock.now())
    return future.order_by("effective_from").values_list("effective_from", flat=True).first()


def write(
    slug: str,
    *,
    percent: int | None = None,
    offered: bool = True,
    effective_from: datetime | None = None,
    note: str = "",
    actor: str,
) -> PriceBookEntry:
    """Add an entry.

    Args:
        percent: Of the list price; 150 is half as much again. None is 100.
        offered: False withdraws the model.
        effective_from: When the entry takes effect. None is now.
        note: Why, for staff.
        actor: Who decided it, such as `staff:alice`.

    Raises:
        UnknownModel: The catalogue has no such model.
        ValueError: `effective_from` is in the past.
    """
    catalogue.find(slug)
    now = clock.now()
    if effective_from is not None and effective_from < now:
        raise ValueError("A price cannot change in the past.")
    return PriceBookEntry.objects.create(
        model=slug,
        percent=percent,
        offered=offered,
        effective_from=effective_from or now,
        note=note,
        actor=actor,
    )


def _at_price(model: Model, terms: Terms) -> Model:
    # At the list price, the model of the catalogue itself: it has its JSON Schema already.
    return model if terms.percent == 100 else replace(model, price=model.price.at(terms.percent))
