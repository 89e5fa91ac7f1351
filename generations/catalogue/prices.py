"""What an order costs, in whole credits. One credit stands for 0.001 US dollars of fal's list price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from generations.catalogue.sizes import duration_seconds_of, size_of

CREDITS_PER_DOLLAR = 1000
# What fal bills by, in the words of its pricing API.
IMAGES, MEGAPIXELS, SECONDS, GENERATIONS = "images", "megapixels", "seconds", "generations"


@dataclass(frozen=True, kw_only=True)
class Price:
    list_description: str
    """The formula in a sentence."""
    formula: Callable[[Any], int]
    """Inputs → the credits of fal's list price."""
    unit: str
    """What fal bills by: "images", "megapixels", "seconds" …"""
    unit_formula: Callable[[Any], int]
    """Inputs → the credits of one unit. With a model's defaults it is the one price that fal's pricing API names."""
    percent: int = 100
    """What the price book asks of it."""

    def credits(self, inputs: Any) -> int:
        """What is asked of the customer, rounded up."""
        return -(-self.list_price_millidollars(inputs) * self.percent // 100)

    def list_price_millidollars(self, inputs: Any) -> int:
        """What fal should bill, in thousandths of a US dollar."""
        amount = self.formula(inputs)
        if amount < 0:
            raise ValueError(f"A price is never negative, and this one is {amount}: {self.list_description}")
        return amount

    @property
    def description(self) -> str:
        """The sentence that users read."""
        return (
            self.list_description
            if self.percent == 100
            else f"{self.list_description}; at present {self.percent} % of that"
        )

    def at(self, percent: int) -> Price:
        """The same price, of which the price book asks so much."""
        return replace(self, percent=percent)


def per_image(credits: int, *, surcharge: Callable[[Any], int] | None = None, words: str = "") -> Price:
    """So many credits an image, plus what `surcharge` adds to each."""

    def each(inputs: Any) -> int:
        return credits + (surcharge(inputs) if surcharge else 0)

    def formula(inputs: Any) -> int:
        return each(inputs) * getattr(inputs, "num_images", 1)

    return Price(
        list_description=words or f"{credits} credits an image", formula=formula, unit=IMAGES, unit_formula=each
    )


def per_megapixel(credits: int) -> Price:
    """So many credits a started megapixel of each image."""

    def formula(inputs: Any) -> int:
        size = size_of(inputs)
        if size is None:
            raise ValueError("A price by the megapixel needs a size.")
        return credits * size.megapixels_started * getattr(inputs, "num_images", 1)

    words = f"{credits} credits a started megapixel of each image"
    return Price(list_description=words, formula=formula, unit=MEGAPIXELS, unit_formula=lambda inputs: credits)


def per_second(rate: Callable[[Any], int], *, words: str) -> Price:
    """So many credits a second of video; `rate` may depend on sound and resolution."""

    def formula(inputs: Any) -> int:
        seconds = duration_seconds_of(inputs)
        if seconds is None:
            raise ValueError("A price by the second needs a duration.")
        return rate(inputs) * int(seconds)

    return Price(list_description=words, formula=formula, unit=SECONDS, unit_formula=rate)


def per_thousand_characters(credits: int, *, of: str) -> Price:
    """So many credits for a thousand characters of the input `of`, each started credit in full."""

    def formula(inputs: Any) -> int:
        return -(-len(getattr(inputs, of)) * credits // 1000)

    words = f"{credits} credits a thousand characters"
    return Price(list_description=words, formula=formula, unit="1000 characters", unit_formula=lambda inputs: credits)


def flat(credits: int, *, unit: str = GENERATIONS) -> Price:
    """So many credits, whatever is asked for."""
    return by_formula(lambda inputs: credits, words=f"{credits} credits", unit=unit)


def by_formula(
    formula: Callable[[Any], int],
    *,
    words: str,
    unit: str = GENERATIONS,
    unit_formula: Callable[[Any], int] | None = None,
) -> Price:
    """A formula of the model's own. Where none is given for the unit, a whole generation is one."""
    return Price(list_description=words, formula=formula, unit=unit, unit_formula=unit_formula or formula)
