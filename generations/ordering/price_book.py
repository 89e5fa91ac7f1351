"""What is asked for a model today, and whether it is on offer. Staff decide it, without a deployment.

The declared price of the catalogue is fal's list price. An entry of the book asks a share of it, or takes the model
off; entries are only added, each has its moment, and of those that have begun the newest counts. An order freezes its
price: nothing here ever changes what somebody has ordered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.utils import timezone

from generations import catalogue
from generations.catalogue import Inputs, Model, UnknownModel
from generations.models import PriceBookEntry


class NotOffered(UnknownModel):
    """The model exists, and cannot be ordered at present."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On which terms a model can be had."""

    percent: int = 100
    """Of the declared price."""
    offered: bool = True


AS_DECLARED = Terms()


def terms_of(slug: str) -> Terms:
    """What holds for this model now."""
    entry = PriceBookEntry.objects.in_force(timezone.now()).filter(model=slug).last()
    return AS_DECLARED if entry is None else _terms(entry.percent, entry.offered)


def all_terms() -> dict[str, Terms]:
    """What holds now for each model that the book speaks of. One query, however many there are."""
    in_force = PriceBookEntry.objects.in_force(timezone.now()).values_list("model", "percent", "offered")
    return {slug: _terms(percent, offered) for slug, percent, offered in in_force}


def find(slug: str) -> Model:
    """The model with today's price. Raises UnknownModel, NotOffered."""
    model, terms = catalogue.find(slug), terms_of(slug)
    require_offered(model, terms)
    return _on(terms, model)


def offered() -> list[Model]:
    """Everything on offer, with today's prices."""
    book = all_terms()
    on_terms = [(model, book.get(slug, AS_DECLARED)) for slug, model in catalogue.MODELS.items()]
    return [_on(terms, model) for model, terms in on_terms if terms.offered]


def is_offered(slug: str) -> bool:
    return slug in catalogue.MODELS and terms_of(slug).offered


def require_offered(model: Model, terms: Terms) -> None:
    if not terms.offered:
        raise NotOffered(f"“{model.slug}” is not on offer at present.")


def credits(model: Model, inputs: Inputs) -> int:
    """What an order with these inputs costs now."""
    return model.price.at(terms_of(model.slug).percent).credits(inputs)


def next_change(slug: str) -> datetime | None:
    """When an entry that is written already will change the terms of this model."""
    coming = PriceBookEntry.objects.filter(model=slug, effective_from__gt=timezone.now())
    return coming.order_by("effective_from").values_list("effective_from", flat=True).first()


def write(
    slug: str,
    *,
    percent: int | None = None,
    offered: bool = True,
    effective_from: datetime | None = None,
    note: str = "",
    actor: str,
) -> PriceBookEntry:
    """Another entry. `percent` None: as declared; `effective_from` None: now. Raises UnknownModel, ValueError."""
    catalogue.find(slug)
    now = timezone.now()
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


def _terms(percent: int | None, offered: bool) -> Terms:
    return Terms(percent=100 if percent is None else percent, offered=offered)


def _on(terms: Terms, model: Model) -> Model:
    # The declared model itself where the book does not differ: its schema is made once.
    return model if terms.percent == 100 else replace(model, price=model.price.at(terms.percent))
