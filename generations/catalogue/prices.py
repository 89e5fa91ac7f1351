"""Prices in whole credits. One credit stands for 0.001 US dollars of fal's list price.

A declaration takes its `Price` from one of the functions below. Ordering computes the credits with it, `sync_prices`
compares its unit price with fal's price list, and `reconcile_bill` its list price with fal's bill. Amounts are
integers; a fraction of a credit is always rounded up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from generations.catalogue.sizes import duration_seconds_of, size_of

CREDITS_PER_DOLLAR = 1000
# The units of fal's bill, in the words of its pricing API.
IMAGES, MEGAPIXELS, SECONDS, GENERATIONS = "images", "megapixels", "seconds", "generations"


@dataclass(frozen=True, kw_only=True)
class Price:
    """The price of a model as a function of the inputs."""

    list_description: str
    """The formula of fal's list price in a sentence."""
    formula: Callable[[Any], int]
    """Inputs → fal's list price in thousandths of a US dollar."""
    unit: str
    """The unit of fal's bill: "images", "megapixels", "seconds" …"""
    unit_formula: Callable[[Any], int]
    """Inputs → the price of one unit, in thousandths of a US dollar.

    fal's pricing API names one price an endpoint: that of the default inputs.
    """
    percent: int = 100
    """The share of the list price that customers pay. Staff set it in the price book."""

    def credits(self, inputs: Any) -> int:
        """Return what the customer pays, in whole credits, rounded up."""
        return -(-self.list_price_millidollars(inputs) * self.percent // 100)

    def list_price_millidollars(self, inputs: Any) -> int:
        """Return what fal should bill, in thousandths of a US dollar.

        Raises:
            ValueError: The formula of the declaration is wrong: it gives a negative price.
        """
        amount = self.formula(inputs)
        if amount < 0:
            raise ValueError(f"The price is negative ({amount}): {self.list_description}")
        return amount

    @property
    def description(self) -> str:
        """The sentence that customers read."""
        if self.percent == 100:
            return self.list_description
        return f"{self.list_description}; currently {self.percent} % of that"

    def at(self, percent: int) -> Price:
        """Return the same price, of which customers pay this share in percent."""
        return replace(self, percent=percent)


def per_image(credits: int, *, surcharge: Callable[[Any], int] | None = None, description: str = "") -> Price:
    """Return a price per image.

    `surcharge` takes the inputs and returns the credits that each image costs in addition.
    """

    def unit_formula(inputs: Any) -> int:
        return credits + (surcharge(inputs) if surcharge else 0)

    return Price(
        list_description=description or f"{credits} credits per image",
        formula=lambda inputs: unit_formula(inputs) * getattr(inputs, "num_images", 1),
        unit=IMAGES,
        unit_formula=unit_formula,
    )


def per_megapixel(credits: int) -> Price:
    """Return a price per megapixel of each image, every image rounded up to whole megapixels."""

    def formula(inputs: Any) -> int:
        size = size_of(inputs)
        if size is None:
            raise ValueError("A price per megapixel needs inputs that tell the size.")
        return credits * size.billed_megapixels * getattr(inputs, "num_images", 1)

    description = f"{credits} credits per megapixel (rounded up), per image"
    return Price(list_description=description, formula=formula, unit=MEGAPIXELS, unit_formula=lambda inputs: credits)


def per_second(rate: Callable[[Any], int], *, description: str) -> Price:
    """Return a price per second.

    `rate` takes the inputs, as it may depend on audio and resolution, and returns credits.
    """

    def formula(inputs: Any) -> int:
        seconds = duration_seconds_of(inputs)
        if seconds is None:
            raise ValueError("A price per second needs inputs that tell the duration.")
        return rate(inputs) * int(seconds)

    return Price(list_description=description, formula=formula, unit=SECONDS, unit_formula=rate)


def per_thousand_characters(credits: int, *, of: str) -> Price:
    """Return a price per 1,000 characters of the input `of`, rounded up to whole credits."""
    return Price(
        list_description=f"{credits} credits per 1,000 characters",
        formula=lambda inputs: -(-len(getattr(inputs, of)) * credits // 1000),
        unit="1000 characters",
        unit_formula=lambda inputs: credits,
    )


def flat(credits: int, *, unit: str = GENERATIONS) -> Price:
    """Return a price that is the same for every order."""
    return by_formula(lambda inputs: credits, description=f"{credits} credits per generation", unit=unit)


def by_formula(
    formula: Callable[[Any], int],
    *,
    description: str,
    unit: str = GENERATIONS,
    unit_formula: Callable[[Any], int] | None = None,
) -> Price:
    """Return a price by a formula of the model's own.

    Without `unit_formula`, fal bills a whole generation as one unit.
    """
    return Price(list_description=description, formula=formula, unit=unit, unit_formula=unit_formula or formula)
